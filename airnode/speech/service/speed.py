"""How long transcripts take: learned from what workers measured.

Workers add the seconds of audio and of work of each piece to two sums in Redis. Old measurements lose weight, so that a
change of model or machine shows after about twenty pieces.
"""

from dataclasses import dataclass

from airnode.bus.client import Bus, unavailable
from airnode.bus.keys import PREFIX

SPEED_KEY = f"{PREFIX}speech:speed"
#: Weight that the sums keep at each new piece.
_KEPT = 0.95
#: Before the first measurement: base int8 on one thread of a common server (0.1 s of work for a second of audio).
_FIRST_WORK = 0.1

#: Key: hash {audio_s, work_s}. Arguments: seconds of audio, of work, kept weight.
_ADD = """
local kept = tonumber(ARGV[3])
for index, field in ipairs({'audio_s', 'work_s'}) do
    local sum = tonumber(redis.call('HGET', KEYS[1], field) or '0')
    redis.call('HSET', KEYS[1], field, tostring(sum * kept + tonumber(ARGV[index])))
end
"""


@dataclass(frozen=True, slots=True)
class LearnedSpeed:
    """Seconds of work for a second of audio, of one slot of a worker."""

    work_per_audio: float

    def wait_s(self, own_audio_s: float, audio_before_s: float, slots: int, longest_piece_s: float) -> float:
        """Return after how many seconds a transcript is done.

        Args:
            audio_before_s: seconds of audio that other jobs have before it. slots: pieces that run at once.
            longest_piece_s: a piece runs on one slot, however many there are.
        """
        shared = (own_audio_s + audio_before_s) / max(1, slots)
        return self.work_per_audio * max(shared, min(own_audio_s, longest_piece_s))


class SpeedBook:
    """The measurements, in Redis. All methods raise Unavailable (503) when it does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def add(self, audio_s: float, work_s: float) -> None:
        """Add the measurement of a piece."""
        with unavailable():
            await self._bus.client.eval(_ADD, 1, SPEED_KEY, repr(audio_s), repr(work_s), repr(_KEPT))

    async def read(self) -> LearnedSpeed:
        """Return what has been learned."""
        with unavailable():
            audio_s, work_s = await self._bus.client.hmget(SPEED_KEY, ["audio_s", "work_s"])
        if not audio_s or not work_s or float(audio_s) <= 0:
            return LearnedSpeed(_FIRST_WORK)
        return LearnedSpeed(float(work_s) / float(audio_s))
