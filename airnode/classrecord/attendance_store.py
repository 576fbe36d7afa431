"""The attendance of all nodes in Redis: open intervals, which a master closes when their node dies.

A *member* is one run of one node. All its keys, and the facts that follow from them, change in one script, so that an
interval is open or in the outbox, never both and never neither.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from airnode.bus import keys
from airnode.bus.classroom import OUTBOX_LUA, ClassUser
from airnode.bus.client import Bus, unavailable
from airnode.classrecord.attendance import Changes, Interval, SessionSpan

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# Keys: open intervals, ends, beat, outbox. Arguments: member, lease in ms, time of the beat, limit of the outbox,
# whether the member has beaten before, number of opened intervals, then (id, value) of each, then (room, id, time,
# data) of each closed one. The last beat is kept for a day.
# Returns -1; or what happened meanwhile: 0: the data is lost, else when a master closed all.
_BEAT = (
    OUTBOX_LUA
    + _NOW
    + """
if ARGV[5] == '1' and not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
    local at = redis.call('GET', KEYS[3])
    redis.call('DEL', KEYS[3])
    return tonumber(at or '0')
end
local argument = 7
for _ = 1, tonumber(ARGV[6]) do
    redis.call('HSET', KEYS[1], ARGV[argument], ARGV[argument + 1])
    argument = argument + 2
end
while argument <= #ARGV do
    local room, id, at, data = unpack(ARGV, argument, argument + 3)
    redis.call('HDEL', KEYS[1], id)
    classroom_outbox(KEYS[4], ARGV[4], room, '0', id, 'attendance', '', at, data)
    argument = argument + 4
end
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
redis.call('SET', KEYS[3], ARGV[3], 'PX', '86400000')
return -1
"""
)
# Keys: open intervals, ends, beat, outbox. Arguments: member, limit of the outbox. A value is "room {…}" without the
# time of leaving, which is put in. Returns the number of closed intervals; -1: the member is alive, or closed already.
_CLOSE = (
    OUTBOX_LUA
    + _NOW
    + """
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not ends or tonumber(ends) > now then return -1 end
local at = redis.call('GET', KEYS[3]) or string.format('%.0f', now)
local open = redis.call('HGETALL', KEYS[1])
for i = 1, #open, 2 do
    local room, data = string.match(open[i + 1], '^(%S+) (.*)}$')
    classroom_outbox(KEYS[4], ARGV[2], room, '0', open[i], 'attendance', '', at, data .. ',"left_at":' .. at .. '}')
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return #open / 2
"""
)
_EXPIRED = _NOW + "return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)"


class _Data(msgspec.Struct):
    """The data of an ``attendance`` fact; see :mod:`airnode.bus.classroom`."""

    interval_id: str
    session_id: str
    user: ClassUser
    kind: str
    joined_at: int
    left_at: int | msgspec.UnsetType = msgspec.UNSET


class AttendanceStore:
    """Reads and writes the attendance. All methods raise Unavailable (503) when Redis does not answer.

    Args:
        limit: ``chat.outbox_entries``.
    """

    def __init__(self, bus: Bus, limit: int) -> None:
        self._bus = bus
        self._limit = limit

    async def beat(self, member: str, changes: Changes, at_ms: int, lease_s: float, *, known: bool) -> int:
        """Send changes and renew the lease.

        Returns:
            -1; or, if nothing was written because the lease was gone: the unix ms at which a master closed all
            intervals of this member, or 0 if Redis does not know it.
        """
        arguments: list[str | bytes | int] = [member, max(1, round(lease_s * 1000)), at_ms, self._limit, int(known)]
        arguments.append(len(changes.opened))
        for interval in changes.opened:
            arguments += [interval.interval_id, f"{interval.room} ".encode() + _data(interval)]
        for interval in changes.closed:
            arguments += [interval.room, interval.interval_id, interval.left_at or at_ms, _data(interval)]
        with unavailable():
            answer: Any = await self._bus.client.eval(_BEAT, 4, *_member_keys(member), *arguments)
        return int(answer)

    async def leave(self, member: str) -> None:
        """Remove a member whose intervals are all closed."""
        with unavailable():
            await self._bus.client.zrem(keys.attendance_ends(), member)
            await self._bus.client.delete(keys.attendance(member), keys.attendance_beat(member))

    async def close_dead(self) -> dict[str, int]:
        """Close the intervals of members whose lease has ended, at their last beats; return {member: how many}."""
        closed = {}
        with unavailable():
            members: Any = await self._bus.client.eval(_EXPIRED, 1, keys.attendance_ends())
            for member in (each.decode() for each in members):
                count: Any = await self._bus.client.eval(_CLOSE, 4, *_member_keys(member), member, self._limit)
                if int(count) >= 0:
                    closed[member] = int(count)
        return closed

    async def open_intervals(self, room: str) -> list[Interval]:
        """Return the open intervals of a room, of all members."""
        found = []
        with unavailable():
            members: Any = await self._bus.client.zrange(keys.attendance_ends(), 0, -1)
            for member in members:
                values: Any = await self._bus.client.hvals(keys.attendance(member.decode()))
                found += [interval for value in values if (interval := _interval(value, room)) is not None]
        return found

    async def sessions(self, rooms: Iterable[str]) -> dict[str, SessionSpan]:
        """Return {room: its newest session}, without rooms that had none lately."""
        wanted: Sequence[str] = sorted(rooms)
        if not wanted:
            return {}
        with unavailable():
            values: Any = await self._bus.client.hmget(keys.class_sessions(), list(wanted))
        spans = {room: parse_session(value) for room, value in zip(wanted, values, strict=True) if value}
        return {room: span for room, span in spans.items() if span is not None}


def parse_session(value: bytes) -> SessionSpan | None:
    """Return the session in a value of :func:`airnode.bus.keys.class_sessions`; None: it is malformed."""
    session_id, *times = value.decode(errors="replace").split("|")
    if len(times) != 3 or not all(time.isdecimal() for time in times):
        return None
    started_ms, _, ended_ms = map(int, times)
    return SessionSpan(session_id, started_ms, ended_ms)


def _member_keys(member: str) -> tuple[str, str, str, str]:
    return (
        keys.attendance(member),
        keys.attendance_ends(),
        keys.attendance_beat(member),
        keys.classroom_outbox(),
    )


def _data(interval: Interval) -> bytes:
    left_at = msgspec.UNSET if interval.left_at is None else interval.left_at
    return msgspec.json.encode(
        _Data(interval.interval_id, interval.session_id, interval.user, interval.kind, interval.joined_at, left_at)
    )


def _interval(value: bytes, room: str) -> Interval | None:
    there, _, data = value.partition(b" ")
    if there.decode(errors="replace") != room:
        return None
    fields = msgspec.json.decode(data)
    return msgspec.convert({**fields, "room": room}, Interval)
