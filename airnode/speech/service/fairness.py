"""Turns of users in a queue: start-time fair queueing (Goyal, Vin, Cheng 1996). Priorities of jobs are virtual time.

Each piece of audio costs one unit. A user's next pieces begin where their last ones end, or now, if that is later. So
thirty files of one user stand behind each other, and the file of another user stands beside the first of them.
"""

from airnode.bus.client import Bus, unavailable
from airnode.bus.keys import PREFIX

#: Largest priority of a job in BullMQ; a job of a lower number comes first.
MAX_PRIORITY = 2_097_151
_KEEP_S = 7 * 86_400

#: Key: hash {now, user:…: end of their last piece}. Arguments: user, pieces, whether the queue is empty.
_TAKE = """
if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) end
local now = tonumber(redis.call('HGET', KEYS[1], 'now') or '0')
local last = tonumber(redis.call('HGET', KEYS[1], 'user:' .. ARGV[1]) or '0')
local start = math.max(now, last)
redis.call('HSET', KEYS[1], 'user:' .. ARGV[1], start + ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return start + 1
"""
_BEGIN = """
if tonumber(ARGV[1]) > tonumber(redis.call('HGET', KEYS[1], 'now') or '0') then
    redis.call('HSET', KEYS[1], 'now', ARGV[1])
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
"""


def turns_key(queue: str) -> str:
    """Return the key of the hash of a queue's virtual time."""
    return f"{PREFIX}speech:turns:{queue}"


class Turns:
    """The virtual time of queues, in Redis. All methods raise Unavailable (503) when it does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def take(self, queue: str, user: str, count: int, *, is_empty: bool = False) -> list[int]:
        """Return the priorities of a user's next ``count`` jobs, in their order.

        Args:
            is_empty: no job waits in the queue: its time begins again.
        """
        with unavailable():
            first = await self._bus.client.eval(
                _TAKE, 1, turns_key(queue), user, count, "1" if is_empty else "0", _KEEP_S
            )
        return [min(int(first) + number, MAX_PRIORITY) for number in range(count)]

    async def begin(self, queue: str, priority: int) -> None:
        """Note that a job of this priority has begun: the queue's time is not before it."""
        if 0 < priority < MAX_PRIORITY:
            with unavailable():
                await self._bus.client.eval(_BEGIN, 1, turns_key(queue), priority, _KEEP_S)
