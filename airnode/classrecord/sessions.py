"""The sessions of classes: the times in which a class was live, short interruptions included.

Masters keep them in Redis, in a hash {room: ``session id|started|last live|ended``}. Several masters may do the same at
the same time: each change is one script that compares with what is there, and each fact has the id of its session.
"""

import uuid
from typing import Any

from airnode.bus import keys
from airnode.bus.classroom import OUTBOX_LUA
from airnode.bus.client import Bus, unavailable

#: An ended session is remembered for this long, so that nodes learn when it ended.
_REMEMBERED_MS = 24 * 3600 * 1000

_COMMON = (
    OUTBOX_LUA
    + """
local function read(room)
    local value = redis.call('HGET', KEYS[1], room)
    if not value then return nil end
    local id, started, last, ended = string.match(value, '^([^|]*)|(%d+)|(%d+)|(%d+)$')
    return id, tonumber(started), tonumber(last), tonumber(ended)
end
local function write(room, id, started, last, ended)
    redis.call('HSET', KEYS[1], room, string.format('%s|%.0f|%.0f|%.0f', id, started, last, ended))
end
local function fact(limit, room, event, id, started, ended)
    local data = string.format('{"session_id":"%s","started_at":%.0f', id, started)
    if ended then data = data .. string.format(',"ended_at":%.0f', ended) end
    classroom_outbox(KEYS[2], limit, room, '0', id, event, '', string.format('%.0f', ended or started), data .. '}')
end
"""
)
# Arguments: room, since when it is live, until when it was, gap, id of a new session or nothing, limit of the outbox.
_LIVE = (
    _COMMON
    + """
local room, since, last, gap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local id, started, known, ended = read(room)
if id and ended == 0 then
    if last <= known then return 0 end
    if since - known <= gap then
        write(room, id, started, last, 0)
        return 0
    end
    fact(ARGV[6], room, 'session_ended', id, started, known)
    ended = known
end
if ARGV[5] == '' or (id and last <= ended) then return 0 end
if id then since = math.max(since, ended) end
write(room, ARGV[5], since, last, 0)
fact(ARGV[6], room, 'session_started', ARGV[5], since)
return 1
"""
)
# Arguments: room, the value as it was read, limit of the outbox.
_END = (
    _COMMON
    + """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local id, started, last, ended = read(ARGV[1])
if not id then return redis.call('HDEL', KEYS[1], ARGV[1]) end
if ended > 0 then return redis.call('HDEL', KEYS[1], ARGV[1]) end
write(ARGV[1], id, started, last, last)
fact(ARGV[3], ARGV[1], 'session_ended', id, started, last)
return 1
"""
)


class ClassSessions:
    """Begins, continues and ends sessions. All methods raise Unavailable (503) when Redis does not answer.

    Args:
        limit: ``chat.outbox_entries``.
    """

    def __init__(self, bus: Bus, limit: int, gap_s: float) -> None:
        self._bus = bus
        self._limit = limit
        self._gap_ms = round(gap_s * 1000)

    async def live(self, room: str, since_ms: int, last_ms: int, *, begins: bool = True) -> bool:
        """Note that a room was live from ``since_ms`` to ``last_ms``; return whether a session began.

        Args:
            begins: False: only a session that is on is continued.
        """
        session_id = str(uuid.uuid4()) if begins else ""
        arguments = (room, since_ms, max(since_ms, last_ms), self._gap_ms, session_id, self._limit)
        with unavailable():
            began: Any = await self._bus.client.eval(
                _LIVE, 2, keys.class_sessions(), keys.classroom_outbox(), *arguments
            )
        return bool(began)

    async def end_over(self, now_ms: int) -> list[str]:
        """End the sessions that did not go on in time, and forget old ones; return the rooms of the former."""
        ended = []
        with unavailable():
            values: Any = await self._bus.client.hgetall(keys.class_sessions())
            for room, value in values.items():
                times = value.rsplit(b"|", 2)[1:]
                last_ms, ended_ms = (int(each) if each.isdigit() else 0 for each in [*times, b"", b""][:2])
                if now_ms - last_ms <= (_REMEMBERED_MS if ended_ms else self._gap_ms):
                    continue
                arguments = (room, value, self._limit)
                changed: Any = await self._bus.client.eval(
                    _END, 2, keys.class_sessions(), keys.classroom_outbox(), *arguments
                )
                if int(changed) and not ended_ms:
                    ended.append(room.decode(errors="replace"))
        return ended
