"""What the class record holds and what is on its way there, for the admin page."""

import asyncio
from collections.abc import Mapping, Sequence

from airnode.pipeline.admin.stats_reporter import MINUTE_S
from airnode.pipeline.admin.status import ClassRecordView, KeptView
from airnode.pipeline.event import CLASSROOM
from airnode.store.postgres import Postgres

#: The queries stop counting at this number, so that they stay cheap.
_ROWS_MAX = 100_000
#: The counts are reused for this long.
_FRESH_S = 10.0
_COUNTS = """
SELECT (SELECT count(*) FROM (SELECT FROM classroom.sessions LIMIT $1) AS t),
       (SELECT count(*) FROM (SELECT FROM classroom.attendance LIMIT $1) AS t),
       (SELECT count(*) FROM (SELECT FROM classroom.messages LIMIT $1) AS t),
       (SELECT count(*) FROM (SELECT FROM classroom.questions LIMIT $1) AS t),
       (SELECT count(*) FROM (SELECT FROM classroom.polls LIMIT $1) AS t),
       (SELECT count(*) FROM (SELECT FROM classroom.poll_answers LIMIT $1) AS t),
       (SELECT count(*) FROM (SELECT FROM classroom.hands LIMIT $1) AS t),
       (SELECT count(*) FROM (
           SELECT FROM pipeline.dead_letters WHERE replayed_at IS NULL AND topic = $2 LIMIT $1
       ) AS t)
"""


class KeptCounts:
    """Counts the rows of the class record."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._last: tuple[float, KeptView] | None = None

    async def read(self) -> KeptView:
        """Return the counts, at most ten seconds old. Raises as :meth:`Postgres.fetchrow`."""
        now_s = asyncio.get_running_loop().time()
        if self._last is None or now_s - self._last[0] > _FRESH_S:
            row = await self._postgres.fetchrow(_COUNTS, _ROWS_MAX, CLASSROOM)
            found = KeptView(*(row.values() if row is not None else ()))
            found.counted_up_to = _ROWS_MAX
            self._last = (now_s, found)
        return self._last[1]


def with_landings(
    view: ClassRecordView,
    kept: KeptView | None,
    minutes: Sequence[int],
    counted: Sequence[Mapping[str, int]],
) -> ClassRecordView:
    """Return the whole view.

    Args:
        minutes: the last hour's (unix seconds / 60). counted: what the pipeline counted in each.
    """
    name = f"landed:{CLASSROOM}"
    landed = [minute for minute, counts in zip(minutes, counted, strict=False) if counts.get(name)]
    last = float(landed[-1] * MINUTE_S) if landed else None
    return ClassRecordView(view.waiting, view.oldest_s, view.dropped, kept, last)
