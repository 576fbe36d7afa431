"""The newest entries of a room, as a node holds them."""

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from airnode.chat.rooms.log import LogEntry, LogPosition
from airnode.chat.rooms.payloads import first_within
from airnode.chat.rooms.tail import RoomTail, Step


def entry(offset: int, event: str = "message", epoch: str = "1", nonce: str = "", **data: object) -> LogEntry:
    body = msgspec.Raw(msgspec.json.encode(data or {"content": str(offset)}))
    return LogEntry("r", epoch, offset, event, f"id-{offset}", 1000 + offset, body, nonce=nonce or f"n{offset}")


def started(messages_max: int = 3) -> RoomTail:
    tail = RoomTail(messages_max, 192 << 10)
    tail.begin(LogPosition("1", 0), [], [])
    return tail


def contents(tail: RoomTail) -> list[str]:
    return [each["content"] for each in orjson.loads(orjson.dumps(tail.messages()))]


def test_entries_follow_each_other():
    tail = started()
    assert tail.step(entry(1)) is Step.NEXT
    tail.push(entry(1))
    assert tail.step(entry(1)) is Step.KNOWN
    assert tail.step(entry(3)) is Step.OUT_OF_STEP
    assert tail.step(entry(2, epoch="2")) is Step.OUT_OF_STEP
    assert tail.step(entry(1, nonce="another")) is Step.OUT_OF_STEP  # Redis was restored from an older copy


def test_the_newest_messages_are_held_without_those_that_were_deleted():
    tail = started()
    for offset in range(1, 6):
        tail.push(entry(offset))
        assert tail.has_older is (offset > 3)
    assert contents(tail) == ["3", "4", "5"]
    tail.push(entry(6, "moderation", deleted="id-4"))
    assert contents(tail) == ["3", "5"]
    assert tail.state_offset == 6
    found = tail.after(2)
    assert found is not None
    assert [each.offset for each in found] == [3, 5, 6]


def test_entries_that_are_not_held_are_not_claimed():
    tail = RoomTail(3, 192 << 10)
    tail.begin(LogPosition("1", 10), [entry(8), entry(9), entry(10)], [entry(10)])
    assert tail.after(6) is None
    assert tail.after(11) is None
    assert [each.offset for each in tail.after(7) or ()] == [8, 9, 10]
    assert tail.after(10) == []


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(0, 40))
def test_after_returns_exactly_what_follows(erased, offset):
    tail = RoomTail(5, 192 << 10)
    tail.begin(LogPosition("1", 0), [], [])
    pushed = []
    for number, back in enumerate(erased, start=1):
        if back and len(pushed) >= back and pushed[-back].event == "message":
            gone = pushed.pop(-back)
            pushed.append(entry(number, "moderation", deleted=gone.id))
        else:
            pushed.append(entry(number))
        assert tail.step(pushed[-1]) is Step.NEXT
        tail.push(pushed[-1])
    expected = [each for each in pushed if each.offset > offset] if offset <= len(erased) else None
    assert tail.after(offset) == expected


def test_very_long_messages_are_fewer_at_once():
    tail = started(messages_max=200)
    for offset in range(1, 101):
        tail.push(entry(offset, content="𝕳" * 2000, number=offset))
    found = [each["offset"] for each in orjson.loads(orjson.dumps(tail.messages()))]
    assert found == list(range(101 - len(found), 101))
    assert 10 < len(found) < 50
    assert first_within([b"x" * 300_000, b"y"], 192 << 10) == [b"x" * 300_000]
    assert first_within([], 192 << 10) == []
