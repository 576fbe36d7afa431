"""Pages of older messages: in order, complete, and no larger than a slow line can take."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import orjson

from airnode.chat.rooms.event_types import HistoryRequest
from airnode.chat.rooms.history import read_history
from airnode.chat.rooms.log import LogEntry

ENTRIES = [
    LogEntry(
        "r", "1", offset, "message", f"1-{offset}", offset, msgspec.Raw(msgspec.json.encode({"content": "한" * 2000}))
    )
    for offset in range(1, 101)
]


class Log:
    """A log that only has these entries."""

    async def after(self, room: str, offset: int, limit: int) -> list[LogEntry]:
        return [each for each in ENTRIES if each.offset > offset][:limit]

    async def before(self, room: str, offset: int | None, limit: int) -> list[LogEntry]:
        return [each for each in ENTRIES if offset is None or each.offset < offset][-limit:]


async def _page(**where: Any) -> tuple[list[int], bool]:
    room = SimpleNamespace(name="r", tail=SimpleNamespace(epoch="1"))
    answer = await read_history(cast(Any, room), cast(Any, Log()), HistoryRequest("r", limit=100, **where), 192 << 10)
    messages = orjson.loads(orjson.dumps(answer.messages))
    assert answer.is_cut == (len(messages) < 100 and answer.more)
    return [each["offset"] for each in messages], answer.more


async def test_long_messages_come_in_more_pages_and_none_is_left_out():
    found: list[int] = []
    more, before = True, 101
    while more:
        page, more = await _page(before=before)
        assert 0 < len(page) < 40
        found, before = page + found, page[0]
    assert found == list(range(1, 101))
    found, more = [], True
    while more:
        page, more = await _page(after=found[-1] if found else 0)
        found += page
    assert found == list(range(1, 101))
