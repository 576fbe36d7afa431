"""Numbers for people of the same name in one class, in Redis, so that all nodes give the same."""

import asyncio
from typing import Any

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.errors import Unavailable

_TIMEOUT_S = 2.0

# A slot is "<name>\x1f<number>", for teachers "<name>\x1fT", "<name>\x1fT2", and so on. "<name>\x1fN": no number below
# is free; "<name>\x1fTC": how many teachers have this name.
# KEYS: {slot: user}, {user: slot}, ends (ms) of users.
# ARGV: user, name, milliseconds, most users, "T" for a teacher. Returns the number; 0: a teacher has this name.
_CLAIM = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function free(user)
    local slot = redis.call('HGET', KEYS[2], user)
    if slot then
        redis.call('HDEL', KEYS[1], slot)
        local stem, number = string.match(slot, '^(.*\\31)(%d+)$')
        local first = stem and tonumber(redis.call('HGET', KEYS[1], stem .. 'N') or '1') or 0
        if first > tonumber(number or '0') then
            if number == '1' then redis.call('HDEL', KEYS[1], stem .. 'N')
            else redis.call('HSET', KEYS[1], stem .. 'N', number) end
        end
        local taught = string.match(slot, '^(.*\\31)T%d*$')
        if taught and redis.call('HINCRBY', KEYS[1], taught .. 'TC', -1) <= 0 then
            redis.call('HDEL', KEYS[1], taught .. 'TC')
        end
    end
    redis.call('HDEL', KEYS[2], user)
    redis.call('ZREM', KEYS[3], user)
end
for _, user in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 100)) do free(user) end
local user, stem = ARGV[1], ARGV[2] .. '\\31'
local slot = redis.call('HGET', KEYS[2], user)
local number = slot and slot:sub(1, #stem) == stem and slot:sub(#stem + 1) or nil
if number == nil then
    local taught = redis.call('HEXISTS', KEYS[1], stem .. 'TC') + redis.call('HEXISTS', KEYS[1], stem .. 'T')
    if ARGV[5] ~= 'T' and taught > 0 then return 0 end
    free(user)
    if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then
        local oldest = redis.call('ZRANGE', KEYS[3], 0, 99)
        local gone = oldest[1]
        for _, each in ipairs(oldest) do
            if each:sub(1, 2) ~= 'T:' then gone = each break end
        end
        free(gone)
    end
    local mark = ARGV[5] == 'T' and 'T' or ''
    local first = mark == '' and tonumber(redis.call('HGET', KEYS[1], stem .. 'N') or '1') or 1
    local function slot_of(nth) return stem .. mark .. ((mark == 'T' and nth == 1) and '' or nth) end
    while redis.call('HEXISTS', KEYS[1], slot_of(first)) == 1 do first = first + 1 end
    redis.call('HSET', KEYS[1], slot_of(first), user)
    if mark == '' then redis.call('HSET', KEYS[1], stem .. 'N', first + 1)
    else redis.call('HINCRBY', KEYS[1], stem .. 'TC', 1) end
    redis.call('HSET', KEYS[2], user, slot_of(first))
    number = first
end
redis.call('ZADD', KEYS[3], now + ARGV[3], user)
for i = 1, 3 do
    if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
end
return tonumber((string.gsub(number, 'T', ''))) or 1
"""


class ClassNames:
    """Who has which name in which class.

    Args:
        keep_s: a name becomes free this long after its last use.
        max_names: most names that are kept of a class; above it the student's that was not used longest becomes free:
            nobody gets a teacher's name by asking for many others.
    """

    def __init__(self, bus: Bus, *, keep_s: float, max_names: int) -> None:
        self._bus = bus
        self._keep_ms = max(1, round(keep_s * 1000))
        self._max_names = max_names

    async def number(self, room: str, user_id: str, look: str, *, teacher: bool = False) -> int:
        """Return which one of this name a person is, from 1; the same each time. 0: it is a teacher's name.

        Args:
            look: the same for all names that look alike, see :func:`airnode.web.lookalikes.skeleton`.

        Raises:
            Unavailable: (503) Redis does not answer.
        """
        names = [keys.class_names(room, part) for part in ("slots", "users", "ends")]
        member = f"{'T' if teacher else 'S'}:{user_id}"
        values: list[Any] = [member, look, self._keep_ms, self._max_names, "T" if teacher else ""]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                with unavailable():
                    found = self._bus.client.eval(_CLAIM, len(names), *names, *values)
                    return int(await found)
        except TimeoutError:
            raise Unavailable("Redis does not answer.") from None
