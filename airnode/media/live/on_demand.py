"""Fragments on demand: while nobody watches ``live.mp4``, frames are only held, so that a viewer can begin with them.

::

    resting ──a viewer joins, or too many frames are held──▶ working
       ▲                                                        │
       └───────────── nobody has watched for a while ───────────┘

Why: most rooms are watched through HLS or not at all, and fragments of single frames cost as much CPU time as the
parts. So a resting fragmenter only holds references to the frames since the last key frame (without video, to the
newest audio frames, see `AUDIO_ENTRY_90K`). When it wakes, it writes the held frames as fragments with their arrival
times, and then continues with the frames that come. For the fragmenter this is a period that begins with the first
held frame.
"""

from collections.abc import Callable

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.frames import AudioConfig, Frame
from airnode.media.live.fragmenter import AUDIO_ENTRY_90K, Fragment, Fragmenter

#: Most frames that are held. If key frames are further apart, the fragmenter works until the next, without viewers too.
HELD_BYTES, HELD_FRAMES = 12 << 20, 4_800


class OnDemandFragmenter:
    """A fragmenter that rests until a viewer joins. No I/O and no clock.

    Args:
        fragment_ms, take, sound_wait_ms: see :class:`Fragmenter`.

    Attributes:
        working: true: frames are written as fragments when they come; false: they are held.
    """

    def __init__(self, fragment_ms: int, take: Callable[[Fragment], None], sound_wait_ms: int = 0) -> None:
        self.working = False
        self._fragmenter = Fragmenter(fragment_ms, take, sound_wait_ms)
        self._has_video = False
        self._audio_config: AudioConfig | None = None
        self._frame_s = 0.0
        self._finished = False
        self._held: list[Frame] = []
        self._held_bytes = 0

    def begin(self, *, has_video: bool, audio: AudioConfig | None, frame_s: float) -> None:
        """Start a period; see :meth:`Fragmenter.begin`."""
        self._has_video, self._audio_config, self._frame_s = has_video, audio, frame_s
        self._finished = False
        self._hold_only([])
        if self.working:
            self._fragmenter.begin(has_video=has_video, audio=audio, frame_s=frame_s)

    def finish(self) -> None:
        """End the period; see :meth:`Fragmenter.finish`."""
        self._finished = True
        if self.working:
            self._fragmenter.finish()

    def can_begin_with(self, frame: Frame) -> bool:
        """Return whether playback, and so the fragmenter, can begin with this frame."""
        return frame.is_key if frame.track == "video" else not self._has_video

    def add(self, frame: Frame) -> None:
        """Write a frame as a fragment, or hold it."""
        is_audio = frame.track == "audio"
        if self.working:
            self._fragmenter.add(frame)
            return
        if frame.is_key and not is_audio:
            self._hold_only(
                [each for each in self._held if each.track == "audio" and self._audio_end_90k(each) > frame.dts_90k]
            )
        self._hold(frame)
        if is_audio and not self._has_video and self._held:
            self._hold_only_last_audio()

    def wake(self) -> None:
        """Write the held frames as fragments, and from now on each frame that comes."""
        if self.working:
            return
        self.working = True
        held = self._held
        self._hold_only([])
        self._fragmenter.begin(has_video=self._has_video, audio=self._audio_config, frame_s=self._frame_s)
        for frame in held:
            self._fragmenter.add(frame)
        if self._finished:
            self._fragmenter.finish()

    def rest(self) -> None:
        """Stop writing fragments, and drop the frames that wait for the next one."""
        self.working = False
        self._hold_only([])

    def _hold(self, frame: Frame) -> None:
        self._held.append(frame)
        self._held_bytes += len(frame.data)
        if self._held_bytes > HELD_BYTES or len(self._held) > HELD_FRAMES:
            self.wake()

    def _hold_only_last_audio(self) -> None:
        """Drop audio that is older than a viewer needs to begin, in a room without video."""
        since_90k = self._audio_end_90k(self._held[-1]) - AUDIO_ENTRY_90K
        if self._audio_end_90k(self._held[0]) < since_90k - AUDIO_ENTRY_90K:
            self._hold_only([each for each in self._held if self._audio_end_90k(each) > since_90k])

    def _hold_only(self, held: list[Frame]) -> None:
        self._held = held
        self._held_bytes = sum(len(each.data) for each in held)

    def _audio_end_90k(self, frame: Frame) -> int:
        rate = self._audio_config.sample_rate if self._audio_config is not None else VIDEO_TIMESCALE
        return (frame.dts_samples + frame.duration_samples) * VIDEO_TIMESCALE // rate
