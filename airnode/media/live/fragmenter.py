"""From frames on the media timeline to the fragments of ``live.mp4``, which have one frame (or a few) each.

Why this is more than "write each frame": a part waits for the next frame, a fragment does not. So the duration of its
last frame is not known when it is written. It gets the expected duration (first the declared, then the measured one),
and the tfdt of the next fragment corrects it. Browsers accept this under the following rules (W3C Media Source
Extensions, coded frame processing):

- **Decode times of video.** If a decode time is before the last one, or more than two durations after it, a browser
  takes this for a discontinuity and drops all frames up to the next key frame. So each written decode time is less than
  two written durations after the last one. A frame that comes later than that gets an earlier decode time, and a larger
  composition offset, so that its presentation time stays right. The decode times of the next frames catch up.
- **Durations.** A duration that is too long does no harm, as long as decode times grow.
- **Sound does not wait for the picture.** A page needs sound in hand, so the time that sound waits here is added to the
  page's delay. So sound gets a fragment of its own, unless a picture is expected within ``sound_wait_ms``. The wait
  saves fragments: each costs a write for each viewer.
- **Missing audio.** The audio that comes here has no holes (:mod:`airnode.media.cmaf.continuous_audio`).
- **Missing video.** When video stops while audio continues, the last key frame is written again about once a second (a
  *still*). After a still, video frames are dropped until the next key frame.

``..._90k`` are ticks of 1/90,000 s: times of video, and times of audio that are compared with them. ``..._samples`` are
exact times of audio. A video frame has two decode times: its own, and the written one (``_written_dts_90k``).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import pack

from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, VIDEO_TIMESCALE, VIDEO_TRACK_ID
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.cmaf.segmenter import EARLY_AUDIO_FRAMES, VIDEO_GONE_90K
from airnode.media.frames import AudioConfig, Frame

#: Where fragments have several frames: longest audio that waits for a video frame, to be written in the same fragment.
AUDIO_WAIT_90K = VIDEO_TIMESCALE // 10
#: Shortest audio that is written without a video frame: it bounds the number of fragments.
AUDIO_ALONE_90K = VIDEO_TIMESCALE // 50
#: Length of a fragment without video.
AUDIO_ONLY_FRAGMENT_90K = VIDEO_TIMESCALE // 25
#: Without video, time between two fragments that playback can begin with.
AUDIO_ENTRY_90K = VIDEO_TIMESCALE // 2
#: A still is shown until this long after the end of audio; a key frame that comes earlier replaces it.
STILL_90K = VIDEO_TIMESCALE
#: Expected duration of a frame before a duration is declared or measured.
_UNKNOWN_FRAME_90K = VIDEO_TIMESCALE // 30
#: A step in decode time is shorter than two durations by at least this.
_STEP_SLACK_90K = 90
_NTP_EPOCH_S = 2_208_988_800
#: prft flags (ISO 14496-12 8.16.5): the time when the frame was encoded; the nearest known time is its arrival time.
_ENCODED = 1


@dataclass(frozen=True, slots=True)
class Fragment:
    """``prft``, ``moof``, ``mdat``, framed as one HTTP/1.1 chunk (RFC 9112 7.1): the same bytes for all viewers.

    Attributes:
        is_key: playback can begin with this fragment.
    """

    chunk: bytes
    is_key: bool

    @property
    def body(self) -> bytes:
        """The fragment without the HTTP chunk framing, for HTTP/1.0."""
        return self.chunk[self.chunk.index(b"\n") + 1 : -2]


def http_chunk(*pieces: bytes) -> bytes:
    """Return one HTTP chunk with these pieces. They must not be empty: an empty chunk ends the response."""
    return b"".join((b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"))


def _producer_time(track_id: int, arrived_s: float, presented_ticks: int) -> bytes:
    """Return a ``prft`` box: the frame with this presentation time arrived at the unix time ``arrived_s``."""
    seconds = int(arrived_s)
    ntp = (seconds + _NTP_EPOCH_S) << 32 | int((arrived_s - seconds) * (1 << 32))
    return pack(">I4sIIQQ", 32, b"prft", 1 << 24 | _ENCODED, track_id, ntp, presented_ticks)


class Fragmenter:
    """Writes one room's frames as fragments, over all its periods. No I/O and no clock.

    Args:
        fragment_ms: shortest length of a fragment; 0: one frame each.
        take: called with each fragment as soon as it is complete.
        sound_wait_ms: longest time that sound waits for a video frame, where fragments have one frame each.
    """

    def __init__(self, fragment_ms: int, take: Callable[[Fragment], None], sound_wait_ms: int = 0) -> None:
        self._least_90k = fragment_ms * 90
        self._sound_wait_90k = sound_wait_ms * 90
        self._take = take
        self._sequence = 0
        self._has_video = False
        self._audio_config: AudioConfig | None = None
        #: Measured duration of a video frame; 0: unknown.
        self._frame_90k = 0.0
        self._started = False
        #: A still is shown: video frames are dropped until the next key frame.
        self._needs_key = False
        self._video_run: TrackRun | None = None
        self._audio_run: TrackRun | None = None
        self._has_key = False
        #: Of the last video frame: the written decode time, its own decode time (-1: the last one was a still), and the
        #: written duration.
        self._written_dts_90k, self._last_dts_90k, self._written_duration_90k = -1, -1, 0
        #: End of the presentation of video, and end of audio; 0: none in this period.
        self._video_end_90k, self._audio_end_samples = 0, 0
        #: Arrival time and presentation time (ticks of its track) of the first frame in the open fragment.
        self._first_arrived_s, self._first_presented_ticks = 0.0, 0
        #: Start of the presentation of the last still.
        self._still_start_90k = 0
        #: Start of the last fragment without video that playback can begin with.
        self._audio_entry_90k = 0
        self._last_key_data: bytes | None = None
        #: Audio that came before the first key frame.
        self._early_audio: deque[Frame] = deque(maxlen=EARLY_AUDIO_FRAMES)

    def begin(self, *, has_video: bool, audio: AudioConfig | None, frame_s: float) -> None:
        """Start a period, or continue one that began earlier; the first video frame must be a key frame.

        Args:
            audio: None: there is no audio track.
            frame_s: declared duration of a video frame; 0: unknown.
        """
        self._has_video = has_video
        self._audio_config = audio
        self._frame_90k = frame_s * VIDEO_TIMESCALE if has_video else 0.0
        self._started = False
        self._needs_key = False
        self._video_run = self._audio_run = None
        self._has_key = False
        self._last_key_data = None
        self._early_audio.clear()
        self._video_end_90k, self._audio_end_samples = 0, 0

    def finish(self) -> None:
        """Write the open fragment."""
        self._flush()

    def add(self, frame: Frame) -> None:
        """Write a frame; decode times must grow within a track and a period."""
        if frame.track == "video":
            self._add_video(frame)
        else:
            self._add_audio(frame)

    # ---- video -----------------------------------------------------------------------------------------------------

    def _add_video(self, frame: Frame) -> None:
        dts_90k, is_key = frame.dts_90k, frame.is_key
        if self._needs_key and not (is_key and dts_90k + frame.cts_90k > self._still_start_90k):
            return
        self._needs_key = False
        if not self._started:
            self._start(dts_90k)
        elif is_key:
            self._flush()
        run = self._write_video(frame)
        if is_key:
            self._last_key_data = frame.data
        if run.duration_ticks >= self._least_90k - self._expected_90k() // 2:
            self._flush()

    def _start(self, dts_90k: int) -> None:
        """Begin the period with the first key frame, and with the audio that ends after its start."""
        self._started = True
        self._last_dts_90k = -1
        self._written_dts_90k, self._written_duration_90k = max(self._written_dts_90k, dts_90k - 1), 0
        for frame in self._early_audio:
            if self._in_90k(frame.dts_samples + frame.duration_samples) > dts_90k:
                self._write_audio(frame)
        self._early_audio.clear()

    def _expected_90k(self) -> int:
        return round(self._frame_90k) or _UNKNOWN_FRAME_90K

    def _write_video(self, frame: Frame) -> TrackRun:
        """Add a frame with a decode time that is no discontinuity for browsers. Return the open fragment's run."""
        own_dts_90k = frame.dts_90k
        presented_90k = own_dts_90k + frame.cts_90k
        if self._last_dts_90k >= 0:
            self._measure(own_dts_90k - self._last_dts_90k)
        run = self._video_run
        dts_90k = max(own_dts_90k, self._written_dts_90k + 1)
        if run is not None:
            run.stretch_last(dts_90k - self._written_dts_90k - self._written_duration_90k)
        else:
            if self._written_duration_90k:
                step_90k = max(1, 2 * self._written_duration_90k - _STEP_SLACK_90K)
                dts_90k = min(dts_90k, self._written_dts_90k + step_90k)
            run = self._video_run = TrackRun(VIDEO_TRACK_ID, dts_90k, video=True)
            self._first_arrived_s, self._first_presented_ticks = frame.arrived_s, presented_90k
        duration_90k = self._expected_90k()
        run.add_video(frame.data, duration_90k, presented_90k - dts_90k, is_key=frame.is_key)
        self._written_dts_90k, self._last_dts_90k, self._written_duration_90k = dts_90k, own_dts_90k, duration_90k
        self._video_end_90k = max(self._video_end_90k, presented_90k + duration_90k)
        self._has_key |= frame.is_key
        return run

    def _measure(self, duration_90k: int) -> None:
        """Update the average frame duration; a single long frame changes it little."""
        expected_90k = self._expected_90k()
        if not self._frame_90k:
            self._frame_90k = float(min(duration_90k, VIDEO_TIMESCALE))
        self._frame_90k += (min(duration_90k, 8 * expected_90k) - self._frame_90k) / 8

    def _show_still(self, audio_end_90k: int, arrived_s: float) -> None:
        """Write the last key frame again, from the end of video until `STILL_90K` after the end of audio."""
        if self._last_key_data is None:
            return
        begin_90k = self._video_end_90k
        run = self._video_run
        if run is None:
            dts_90k = self._written_dts_90k + max(1, self._written_duration_90k)
            run = self._video_run = TrackRun(VIDEO_TRACK_ID, dts_90k, video=True)
            self._first_arrived_s, self._first_presented_ticks = arrived_s, audio_end_90k
        else:
            dts_90k = run.base_dts_ticks + run.duration_ticks
        duration_90k = max(0, audio_end_90k - begin_90k) + STILL_90K
        run.add_video(self._last_key_data, duration_90k, begin_90k - dts_90k, is_key=True)
        self._written_dts_90k, self._last_dts_90k, self._written_duration_90k = dts_90k, -1, duration_90k
        self._still_start_90k, self._video_end_90k = begin_90k, begin_90k + duration_90k
        self._has_key = self._needs_key = True

    # ---- audio -----------------------------------------------------------------------------------------------------

    def _add_audio(self, frame: Frame) -> None:
        if not self._started:
            if self._has_video:
                self._early_audio.append(frame)
                return
            self._started, self._audio_entry_90k = True, frame.dts_90k - AUDIO_ENTRY_90K
        if frame.dts_samples < self._audio_end_samples:
            return
        if self._audio_run is None and not self._has_video:
            self._first_arrived_s, self._first_presented_ticks = frame.arrived_s, frame.dts_samples
        run = self._write_audio(frame)
        if self._has_video:
            end_90k = self._in_90k(self._audio_end_samples)
            if end_90k - self._video_end_90k > (-AUDIO_WAIT_90K if self._needs_key else VIDEO_GONE_90K):
                self._show_still(end_90k, frame.arrived_s)
        if self._is_due(run, frame.dts_90k):
            self._flush()

    def _is_due(self, run: TrackRun, dts_90k: int) -> bool:
        """Return whether the open fragment's audio is to be written now; ``dts_90k``: decode time of its last frame."""
        duration_90k = self._in_90k(run.duration_ticks)
        if not self._has_video:
            return duration_90k >= max(self._least_90k, AUDIO_ONLY_FRAGMENT_90K)
        if self._least_90k:
            return duration_90k >= max(self._least_90k, AUDIO_WAIT_90K)
        wait_90k = max(dts_90k, self._next_video_90k()) - self._in_90k(run.base_dts_ticks)
        return duration_90k >= AUDIO_ALONE_90K and wait_90k >= self._sound_wait_90k

    def _next_video_90k(self) -> int:
        """Return the expected decode time of the next video frame."""
        if self._last_dts_90k < 0:
            return self._written_dts_90k + self._written_duration_90k
        return self._last_dts_90k + self._expected_90k()

    def _in_90k(self, samples: int) -> int:
        rate = self._audio_config.sample_rate if self._audio_config is not None else VIDEO_TIMESCALE
        return samples * VIDEO_TIMESCALE // rate

    def _write_audio(self, frame: Frame) -> TrackRun:
        """Add a frame to the open fragment. Return the run that contains it."""
        dts_samples, duration_samples = frame.dts_samples, frame.duration_samples
        run = self._audio_run
        if run is None:
            run = self._audio_run = TrackRun(AUDIO_TRACK_ID, dts_samples, video=False)
        else:
            hole_samples = dts_samples - run.base_dts_ticks - run.duration_ticks
            if hole_samples > 0:
                run.stretch_last(hole_samples)
        run.add_audio(frame.data, duration_samples)
        self._audio_end_samples = dts_samples + duration_samples
        return run

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write the open fragment, if it has frames."""
        video, audio = self._video_run, self._audio_run
        runs = [run for run in (video, audio) if run is not None]
        if not runs:
            return
        self._video_run = self._audio_run = None
        is_key, self._has_key = self._has_key, False
        producer_time = b""
        if video is not None:
            producer_time = _producer_time(VIDEO_TRACK_ID, self._first_arrived_s, self._first_presented_ticks)
        elif audio is not None and not self._has_video:
            producer_time = _producer_time(AUDIO_TRACK_ID, self._first_arrived_s, self._first_presented_ticks)
            is_key = self._is_audio_entry(self._in_90k(audio.base_dts_ticks))
        self._sequence += 1
        self._take(Fragment(http_chunk(producer_time, write_fragment(self._sequence, runs)), is_key))

    def _is_audio_entry(self, dts_90k: int) -> bool:
        if dts_90k - self._audio_entry_90k < AUDIO_ENTRY_90K:
            return False
        self._audio_entry_90k = dts_90k
        return True
