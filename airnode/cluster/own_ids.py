"""Ids that clients of students gave themselves, in PostgreSQL: whose they are."""

from collections.abc import Sequence
from datetime import timedelta

from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.store.postgres import Postgres

_PRUNE_EVERY_S = 3600.0
#: $1 user id, $2 signed ids of who asks, the present one first, $3 how long it is kept. Returns a row if it is theirs.
_CLAIM = """INSERT INTO own_ids (user_id, student_id, kept_until) VALUES ($1, ($2::text[])[1], now() + $3::interval)
    ON CONFLICT (user_id) DO UPDATE SET student_id = excluded.student_id, kept_until = excluded.kept_until
    WHERE own_ids.student_id = ANY($2) OR own_ids.kept_until < now() RETURNING student_id"""
_GIVE_BACK = "DELETE FROM own_ids WHERE user_id = $1 AND student_id = $2"
_PRUNE = "DELETE FROM own_ids WHERE kept_until < now()"


class OwnIds(Service):
    """Keeps which signed identity an id belongs to.

    Args:
        keep_s: an id becomes free this long after its last use, ``auth.student_id_ttl_s``.
    """

    name = "own-ids"

    def __init__(self, postgres: Postgres, keep_s: float, tasks: TaskScope) -> None:
        super().__init__()
        self._postgres = postgres
        self._keep = timedelta(seconds=keep_s)
        self._tasks = tasks

    async def start(self) -> None:
        """Delete ids that are free again, now and again."""
        self._tasks.spawn("prune", repeat_every(_PRUNE_EVERY_S, self.prune, failed="own_ids_not_pruned"))

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def claim(self, user_id: str, student_ids: Sequence[str]) -> bool:
        """Return whether an id belongs to a student, as it does from now on if it was free.

        Args:
            student_ids: signed ids of the student, the present one first; at least one.

        Raises:
            Unavailable: (503) the database does not answer.
        """
        return await self._postgres.fetchval(_CLAIM, user_id, list(student_ids), self._keep) is not None

    async def give_back(self, user_id: str, student_id: str) -> None:
        """Free an id if it belongs to the student with this signed id.

        Raises:
            Unavailable: (503) the database does not answer.
        """
        await self._postgres.execute(_GIVE_BACK, user_id, student_id)

    async def prune(self) -> None:
        """Delete the ids that are free again. Raises Unavailable."""
        await self._postgres.execute(_PRUNE)
