"""Fragments on demand: while nobody watches ``live.mp4``, samples are only held, from where a viewer can begin.

::

    resting ──a viewer comes, or too much is held──▶ working
       ▲                                                │
       └─────────── nobody has watched lately ──────────┘

What is held are references to the publisher's samples, those since the last key frame (without video, those of the last
moment). Waking makes them fragments as if they had just come, with their own times of arrival, and goes on from there:
for the fragments it is the beginning of a period whose first sample is the first that was held.
"""

from collections.abc import Callable
from typing import NamedTuple

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.frames import AudioConfig
from airnode.media.live.fragmenter import AUDIO_ENTRY, Fragment, Fragmenter

#: Most that is held; a stream whose key frames lie further apart has its fragments made until the next one.
HELD_BYTES, HELD_SAMPLES = 12 << 20, 4_800


class _Held(NamedTuple):
    """What the fragmenter is to get; ``extra``: of video its composition offset, of audio its samples."""

    video: bool
    time: int
    extra: int
    data: bytes
    key: bool
    now: float


class DemandFragmenter:
    """A fragmenter that is asleep at first. No I/O and no clock.

    Args:
        fragment_ms, take: see :class:`Fragmenter`.

    Attributes:
        working: fragments are made of all that comes.
    """

    def __init__(self, fragment_ms: int, take: Callable[[Fragment], None]) -> None:
        self.working = False
        self._fragmenter = Fragmenter(fragment_ms, take)
        self._has_video = False
        self._audio_config: AudioConfig | None = None
        self._frame_s = 0.0
        self._finished = False
        #: End of the last audio frame of the period, in samples; 0: there was none.
        self._heard = 0
        self._held: list[_Held] = []
        self._held_bytes = 0

    def begin(self, *, has_video: bool, audio: AudioConfig | None, frame_s: float) -> None:
        """See :meth:`Fragmenter.begin`."""
        self._has_video, self._audio_config, self._frame_s = has_video, audio, frame_s
        self._finished = False
        self._heard = 0
        self._keep([])
        if self.working:
            self._fragmenter.begin(has_video=has_video, audio=audio, frame_s=frame_s)

    def finish(self) -> None:
        """See :meth:`Fragmenter.finish`."""
        self._finished = True
        if self.working:
            self._fragmenter.finish()

    def begins_with(self, *, video: bool, key: bool) -> bool:
        """Whether a viewer could begin with such a sample, and fragments with it."""
        return key if video else not self._has_video

    def video(self, time: int, cts: int, data: bytes, *, key: bool, now: float) -> None:
        """See :meth:`Fragmenter.video`."""
        if self.working:
            self._fragmenter.video(time, cts, data, key=key, now=now)
            return
        if key:
            self._keep([each for each in self._held if not each.video and self._audio_end(each) > time])
        self._hold(_Held(True, time, cts, data, key, now))

    def audio(self, start: int, samples: int, data: bytes, now: float) -> None:
        """See :meth:`Fragmenter.audio`."""
        self._heard = start + samples
        if self.working:
            self._fragmenter.audio(start, samples, data, now)
            return
        self._hold(_Held(False, start, samples, data, False, now))
        if not self._has_video and self._held:
            self._keep_last_audio()

    def wake(self) -> None:
        """Make fragments of what is held, and of what comes."""
        if self.working:
            return
        self.working = True
        held = self._held
        self._keep([])
        heard = self._heard if all(each.video for each in held) else 0
        self._fragmenter.begin(has_video=self._has_video, audio=self._audio_config, frame_s=self._frame_s, heard=heard)
        for video, time, extra, data, key, now in held:
            if video:
                self._fragmenter.video(time, extra, data, key=key, now=now)
            else:
                self._fragmenter.audio(time, extra, data, now)
        if self._finished:
            self._fragmenter.finish()

    def rest(self) -> None:
        """Nobody wants fragments any more; what was held back for the next one is forgotten."""
        self.working = False
        self._keep([])

    def _hold(self, sample: _Held) -> None:
        self._held.append(sample)
        self._held_bytes += len(sample.data)
        if self._held_bytes > HELD_BYTES or len(self._held) > HELD_SAMPLES:
            self.wake()

    def _keep_last_audio(self) -> None:
        """Without video, a viewer begins with the sound of the last moment."""
        since = self._audio_end(self._held[-1]) - AUDIO_ENTRY
        if self._audio_end(self._held[0]) < since - AUDIO_ENTRY:
            self._keep([each for each in self._held if self._audio_end(each) > since])

    def _keep(self, held: list[_Held]) -> None:
        self._held = held
        self._held_bytes = sum(len(each.data) for each in held)

    def _audio_end(self, frame: _Held) -> int:
        """In 90 kHz ticks."""
        rate = self._audio_config.sample_rate if self._audio_config is not None else VIDEO_TIMESCALE
        return (frame.time + frame.extra) * VIDEO_TIMESCALE // rate
