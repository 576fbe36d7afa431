"""From frames on the media timeline to fragments of one frame (or a few) each: what ``live.mp4`` is made of.

Unlike a part, a fragment does not wait for the frame behind its last one, so nobody knows yet how long that one lasts.
It gets the expected duration (declared, then measured), and the tfdt of the next fragment corrects it. What Media
Source Extensions do with that (W3C MSE, coded frame processing) sets the rules that are kept here:

- A decode time more than two durations behind the one before it, or before it, is a discontinuity: browsers drop
  everything up to the next key frame. So a video frame's decode time moves on by less than twice the duration that was
  declared before it; a frame that comes later than that lags in decode time, never in presentation time (its
  composition offset grows), and decode times catch up with the frames that follow.
- A declared duration that reaches over the next frame's start removes nothing, as long as decode times grow.
- Audio has no composition offsets: holes in it are filled with silent frames, also where it stops while video goes on.
  Video that stops while audio goes on is shown as the last key frame, once in a while, and is dropped from there to the
  next key frame. Without both, players would stall on the track that is missing.

Times in 90 kHz ticks (``..._90k``) are video's, or audio's where it is compared with video; exact audio times are
``..._samples``. A video frame has two decode times: its own, and the one that is written for it (``_written_dts_90k``).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import pack

from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, VIDEO_TIMESCALE, VIDEO_TRACK_ID
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.cmaf.segmenter import EARLY_AUDIO_FRAMES, VIDEO_GONE_90K
from airnode.media.frames import AudioConfig, Frame
from airnode.media.live.silence import silence

#: Audio waits so long for a video frame whose fragment it can be written in.
AUDIO_WAIT_90K = VIDEO_TIMESCALE // 10
#: ... and where there is no video, so much goes into one fragment.
AUDIO_ONLY_FRAGMENT_90K = VIDEO_TIMESCALE // 25
#: Playback of audio without video can begin so often.
AUDIO_ENTRY_90K = VIDEO_TIMESCALE // 2
#: Video so far ahead of audio: silence from here on.
AUDIO_GONE_90K = VIDEO_TIMESCALE * 2 // 5
#: A still covers so much more than what audio there is; the next real key frame ends it earlier.
STILL_90K = VIDEO_TIMESCALE
#: Expected duration of a frame before any was measured.
_UNKNOWN_FRAME_90K = VIDEO_TIMESCALE // 30
#: A step in decode time stays this far below two durations.
_STEP_SLACK_90K = 90
_NTP_EPOCH_S = 2_208_988_800
#: prft flags (ISO 14496-12 8.16.5): the time at which the frame left the encoder, as near as it is known here.
_ENCODED = 1


@dataclass(frozen=True, slots=True)
class Fragment:
    """``prft``, ``moof``, ``mdat``, framed as one HTTP/1.1 chunk (RFC 9112 7.1): the same bytes for all viewers.

    Attributes:
        is_key: playback can begin with it.
    """

    chunk: bytes
    is_key: bool

    @property
    def body(self) -> bytes:
        """The fragment without its framing, for HTTP/1.0."""
        return self.chunk[self.chunk.index(b"\n") + 1 : -2]


def http_chunk(*pieces: bytes) -> bytes:
    """Return one HTTP chunk; there must be at least one byte in it."""
    return b"".join((b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"))


def _producer_time(track_id: int, arrived_s: float, presented_ticks: int) -> bytes:
    """Return a ``prft`` box, version 1: when what is presented at ``presented_ticks`` of its track arrived."""
    seconds = int(arrived_s)
    ntp = (seconds + _NTP_EPOCH_S) << 32 | int((arrived_s - seconds) * (1 << 32))
    return pack(">I4sIIQQ", 32, b"prft", 1 << 24 | _ENCODED, track_id, ntp, presented_ticks)


class Fragmenter:
    """Makes fragments of one room's frames, over all its periods. No I/O and no clock.

    Args:
        fragment_ms: least length of a fragment; 0: each frame is one.
        take: called with each fragment as soon as it is complete.
    """

    def __init__(self, fragment_ms: int, take: Callable[[Fragment], None]) -> None:
        self._least_90k = fragment_ms * 90
        self._take = take
        self._sequence = 0
        self._has_video = False
        self._audio_config: AudioConfig | None = None
        self._silence: bytes | None = None
        #: Measured duration of a video frame; 0: unknown.
        self._frame_90k = 0.0
        self._started = False
        #: A still is shown: video is dropped up to the next key frame.
        self._needs_key = False
        self._video_run: TrackRun | None = None
        self._audio_run: TrackRun | None = None
        self._has_key = False
        #: Of the last video frame: the decode time that was written, its own one (-1: none to measure from), and the
        #: duration that was written.
        self._written_dts_90k, self._last_dts_90k, self._written_duration_90k = -1, -1, 0
        #: Where the presentation of video ends, and where audio ends; 0: there was none in this period.
        self._video_end_90k, self._audio_end_samples = 0, 0
        #: When the first frame of what is held back arrived, and when it is to be presented (ticks of its track).
        self._first_arrived_s, self._first_presented_ticks = 0.0, 0
        #: When the presentation of the last still began.
        self._still_start_90k = 0
        #: The last audio fragment with which playback can begin.
        self._audio_entry_90k = 0
        self._last_key_data: bytes | None = None
        #: Audio that came before the first key frame.
        self._early_audio: deque[Frame] = deque(maxlen=EARLY_AUDIO_FRAMES)

    def begin(self, *, has_video: bool, audio: AudioConfig | None, frame_s: float, audio_end_samples: int = 0) -> None:
        """Start a period, or continue in the middle of one; the first video frame must be a key frame.

        Args:
            frame_s: declared duration of a video frame; 0: unknown.
            audio_end_samples: where audio ended before: from there on it counts as missing; 0: it has not begun.
        """
        self._has_video = has_video
        self._audio_config = audio
        self._silence = silence(audio) if audio is not None else None
        self._frame_90k = frame_s * VIDEO_TIMESCALE if has_video else 0.0
        self._started = False
        self._needs_key = False
        self._video_run = self._audio_run = None
        self._has_key = False
        self._last_key_data = None
        self._early_audio.clear()
        self._video_end_90k, self._audio_end_samples = 0, audio_end_samples

    def finish(self) -> None:
        """Write what is held back."""
        self._flush()

    def add(self, frame: Frame) -> None:
        """Take a frame; decode times must grow within a track and a period."""
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
        self._fill_missing_audio(dts_90k)
        run = self._write_video(frame)
        if is_key:
            self._last_key_data = frame.data
        if run.duration_ticks >= self._least_90k - self._expected_90k() // 2:
            self._flush()

    def _start(self, dts_90k: int) -> None:
        """The first key frame: audio that ends before it is not needed."""
        self._started = True
        self._last_dts_90k = -1
        self._written_dts_90k, self._written_duration_90k = max(self._written_dts_90k, dts_90k - 1), 0
        config = self._audio_config
        if config is not None and self._audio_end_samples:
            begin_samples = dts_90k * config.sample_rate // VIDEO_TIMESCALE
            self._audio_end_samples = max(self._audio_end_samples, begin_samples - config.samples_per_frame)
        for frame in self._early_audio:
            if self._in_90k(frame.dts_samples + frame.duration_samples) > dts_90k:
                self._write_audio(frame)
        self._early_audio.clear()

    def _expected_90k(self) -> int:
        return round(self._frame_90k) or _UNKNOWN_FRAME_90K

    def _write_video(self, frame: Frame) -> TrackRun:
        """Add a frame to the open fragment, at a decode time that no browser takes for a discontinuity."""
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
        """Follow the frame duration; a single long frame counts little."""
        expected_90k = self._expected_90k()
        if not self._frame_90k:
            self._frame_90k = float(min(duration_90k, VIDEO_TIMESCALE))
        self._frame_90k += (min(duration_90k, 8 * expected_90k) - self._frame_90k) / 8

    def _show_still(self, audio_end_90k: int, arrived_s: float) -> None:
        """Audio continued alone for too long: the last key frame fills the time up to now and a bit more."""
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
        wait_90k = max(self._least_90k, AUDIO_WAIT_90K if self._has_video else AUDIO_ONLY_FRAGMENT_90K)
        if self._in_90k(run.duration_ticks) >= wait_90k:
            self._flush()

    def _in_90k(self, samples: int) -> int:
        rate = self._audio_config.sample_rate if self._audio_config is not None else VIDEO_TIMESCALE
        return samples * VIDEO_TIMESCALE // rate

    def _write_audio(self, frame: Frame) -> TrackRun:
        """Add a frame to the open fragment, behind silence where there is a hole before it."""
        dts_samples, duration_samples = frame.dts_samples, frame.duration_samples
        if self._audio_end_samples and dts_samples - self._audio_end_samples > duration_samples:
            self._fill(dts_samples, frame.data)
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

    def _fill_missing_audio(self, until_90k: int) -> None:
        """Audio stopped while video goes on: silence up to ``until_90k``."""
        config = self._audio_config
        if (
            config is not None
            and self._audio_end_samples
            and until_90k - self._in_90k(self._audio_end_samples) > AUDIO_GONE_90K
        ):
            self._fill(until_90k * config.sample_rate // VIDEO_TIMESCALE, b"")

    def _fill(self, until_samples: int, data: bytes) -> None:
        """Fill from the end of audio with silence, or with ``data`` where no silence is known."""
        config = self._audio_config
        filling = self._silence or data
        if config is None or not filling:
            return
        if self._audio_run is None:
            self._audio_run = TrackRun(AUDIO_TRACK_ID, self._audio_end_samples, video=False)
        step_samples = config.samples_per_frame if self._silence else until_samples - self._audio_end_samples
        while self._audio_end_samples < until_samples:
            duration_samples = min(step_samples, until_samples - self._audio_end_samples)
            self._audio_run.add_audio(filling, duration_samples)
            self._audio_end_samples += duration_samples

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write the open fragment, if there is anything in it."""
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
