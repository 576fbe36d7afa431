"""From placed samples to fragments of one frame (or a few) each: what the endless ``live.mp4`` is made of.

Unlike a part, a fragment does not wait for the frame behind its last one, so that nobody knows yet how long that one
lasts. It gets the expected duration (declared, then measured), and the next fragment's tfdt tells the truth. What Media
Source Extensions do with that (W3C MSE, coded frame processing) sets the rules that are kept here:

- A decode time more than two durations behind the one before it, or before it, is a discontinuity: browsers drop
  everything up to the next key frame. So a video sample's decode time moves on by less than twice the duration that
  was declared before it; a frame that comes later than that lags in decode time, never in presentation time (its
  composition offset grows), and decode times catch up with the frames that follow.
- A declared duration that reaches over the next frame's start removes nothing, as long as decode times grow.
- Audio has no composition offsets: holes in it are filled with silent AAC frames, also where it stops while video goes
  on. Video that stops while audio goes on is shown as the last key frame, once in a while, and is dropped from there to
  the next key frame. Without both, players would stall on the track that is missing.

Video times are 90 kHz ticks, audio times samples.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import pack

from airnode.media.cmaf.bmff import VIDEO_TIMESCALE
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.cmaf.segmenter import AUDIO_TRACK_ID, MOST_HELD_AUDIO, VIDEO_GONE, VIDEO_TRACK_ID
from airnode.media.frames import AudioConfig

#: Audio waits so long for the video frame in whose fragment it rides.
AUDIO_WAIT = VIDEO_TIMESCALE // 10
#: ... and where there is no video, so much goes into one fragment.
AUDIO_ALONE = VIDEO_TIMESCALE // 25
#: Audio without video can be entered so often.
AUDIO_ENTRY = VIDEO_TIMESCALE // 2
#: Video so far ahead of audio: silence from here on.
AUDIO_GONE = VIDEO_TIMESCALE * 2 // 5
#: A still covers so much more than what audio there is; the next real key frame cuts it short.
STILL = VIDEO_TIMESCALE
#: Expected duration of a frame before anyone knows.
_UNKNOWN_FRAME = VIDEO_TIMESCALE // 30
_SLACK = 90
_NTP_EPOCH_S = 2_208_988_800
#: prft flags (ISO 14496-12 8.16.5): the time at which the frame left the encoder, as near as we know it.
_ENCODED = 1


@dataclass(frozen=True, slots=True)
class Fragment:
    """``prft``, ``moof``, ``mdat``, framed as one HTTP/1.1 chunk (RFC 9112 7.1): the same bytes for all viewers.

    Attributes:
        key: playback can begin with it.
    """

    chunk: bytes
    key: bool

    @property
    def body(self) -> bytes:
        """Without the framing, for HTTP/1.0."""
        return self.chunk[self.chunk.index(b"\n") + 1 : -2]


def framed(*pieces: bytes) -> bytes:
    """One HTTP chunk; there must be at least one byte in it."""
    return b"".join((b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"))


def silence(config: AudioConfig) -> bytes | None:
    """A frame of silence as long as the others; None where none is known."""
    return silent_opus(config) if config.codec == "opus" else silent_aac(config)


def silent_opus(config: AudioConfig) -> bytes | None:
    """A packet of one CELT frame (RFC 6716 3.1, 4.3) that says it is silent; None for frames longer than 20 ms."""
    mode = {120: 28, 240: 29, 480: 30, 960: 31}.get(config.samples_per_frame)
    return bytes((mode << 3, 0xFF, 0xFE)) if mode is not None else None


def silent_aac(config: AudioConfig) -> bytes | None:
    """An AAC-LC raw_data_block (ISO 14496-3 4.4.2.1) without a spectrum; None for more than two channels."""
    # global_gain, ics_reserved_bit, window_sequence, window_shape, max_sfb, predictor, pulse, TNS, gain control.
    channel = "00000000" + "0" + "00" + "0" + "000000" + "0" + "0" + "0" + "0"
    elements = {1: "000" + "0000" + channel, 2: "001" + "0000" + "0" + channel * 2}
    element = elements.get(config.channels)
    if element is None or not config.codecs.startswith("mp4a.40."):
        return None
    bits = element + "111"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _producer_time(track_id: int, now_s: float, media_time: int) -> bytes:
    """A ``prft`` box, version 1: when what is presented at ``media_time`` came in."""
    seconds = int(now_s)
    ntp = (seconds + _NTP_EPOCH_S) << 32 | int((now_s - seconds) * (1 << 32))
    return pack(">I4sIIQQ", 32, b"prft", 1 << 24 | _ENCODED, track_id, ntp, media_time)


class Fragmenter:
    """Makes fragments of one room's samples, over all its periods. No I/O and no clock.

    Args:
        fragment_ms: least length of a fragment; 0: each frame is one.
        take: gets each fragment as soon as it is complete.
    """

    def __init__(self, fragment_ms: int, take: Callable[[Fragment], None]) -> None:
        self._least = fragment_ms * 90
        self._take = take
        self._sequence = 0
        self._has_video = False
        self._audio_config: AudioConfig | None = None
        self._silence: bytes | None = None
        self._frame = 0.0
        self._started = False
        self._need_key = False
        self._video_run: TrackRun | None = None
        self._audio_run: TrackRun | None = None
        self._has_key = False
        #: Of the last video sample: decode time, presentation time, declared duration.
        self._decoded, self._time, self._duration = -1, -1, 0
        #: Where video and audio end: ticks, samples.
        self._shown, self._heard = 0, 0
        #: When the first frame of what is held back came in, and when it is to be shown.
        self._produced = 0.0, 0
        #: When the last still began to show.
        self._still = 0
        self._entry = 0
        self._last_key: bytes | None = None
        #: Audio that came before the first key frame.
        self._held: deque[tuple[int, int, bytes]] = deque(maxlen=MOST_HELD_AUDIO)

    def begin(self, *, has_video: bool, audio: AudioConfig | None, frame_s: float, heard: int = 0) -> None:
        """Start a period, or go on in the middle of one; the first video frame must be a key frame.

        Args:
            frame_s: declared duration of a video frame; 0: unknown.
            heard: where audio ended before, in samples: from there on it counts as missing; 0: it has not begun.
        """
        self._has_video = has_video
        self._audio_config = audio
        self._silence = silence(audio) if audio is not None else None
        self._frame = frame_s * VIDEO_TIMESCALE if has_video else 0.0
        self._started = False
        self._need_key = False
        self._video_run = self._audio_run = None
        self._has_key = False
        self._last_key = None
        self._held.clear()
        self._shown, self._heard = 0, heard

    def finish(self) -> None:
        """Give out what is held back."""
        self._flush()

    # ---- samples ---------------------------------------------------------------------------------------------------

    def video(self, time: int, cts: int, data: bytes, *, key: bool, now: float) -> None:
        """Take a video frame; times must grow within a period."""
        if self._need_key and not (key and time + cts > self._still):
            return
        self._need_key = False
        if not self._started:
            self._start(time)
        elif key:
            self._flush()
        self._fill_audio(time)
        run = self._add(time, cts, data, key, now)
        if key:
            self._last_key = data
        if run.duration >= self._least - self._expected() // 2:
            self._flush()

    def audio(self, start: int, samples: int, data: bytes, now: float) -> None:
        """Take an audio frame, ``start`` and ``samples`` in samples; times must grow within a period."""
        if not self._started:
            if self._has_video:
                self._held.append((start, samples, data))
                return
            self._started, self._entry = True, self._ticks(start) - AUDIO_ENTRY
        if start < self._heard:
            return
        if self._audio_run is None and not self._has_video:
            self._produced = now, start
        self._add_audio(start, samples, data)
        end = self._ticks(self._heard)
        if self._has_video and end - self._shown > (-AUDIO_WAIT if self._need_key else VIDEO_GONE):
            self._show_still(end, now)
        run = self._audio_run
        wait = max(self._least, AUDIO_WAIT if self._has_video else AUDIO_ALONE)
        if run is not None and self._ticks(run.duration) >= wait:
            self._flush()

    # ---- video -----------------------------------------------------------------------------------------------------

    def _start(self, time: int) -> None:
        """The first key frame: audio that ends before it is not needed."""
        self._started = True
        self._time = -1
        self._decoded, self._duration = max(self._decoded, time - 1), 0
        if self._audio_config is not None and self._heard:
            begin = time * self._audio_config.sample_rate // VIDEO_TIMESCALE
            self._heard = max(self._heard, begin - self._audio_config.samples_per_frame)
        for start, samples, data in self._held:
            if self._ticks(start + samples) > time:
                self._add_audio(start, samples, data)
        self._held.clear()

    def _expected(self) -> int:
        return round(self._frame) or _UNKNOWN_FRAME

    def _add(self, time: int, cts: int, data: bytes, key: bool, now: float) -> TrackRun:
        if self._time >= 0:
            self._measure(time - self._time)
        run = self._video_run
        decoded = max(time, self._decoded + 1)
        if run is not None:
            run.stretch_last(decoded - self._decoded - self._duration)
        else:
            if self._duration:
                decoded = min(decoded, self._decoded + max(1, 2 * self._duration - _SLACK))
            run = self._video_run = TrackRun(VIDEO_TRACK_ID, decoded, video=True)
            self._produced = now, time + cts
        duration = self._expected()
        run.add_video(data, duration, time + cts - decoded, key=key)
        self._decoded, self._time, self._duration = decoded, time, duration
        self._shown = max(self._shown, time + cts + duration)
        self._has_key |= key
        return run

    def _measure(self, duration: int) -> None:
        """Follow the frame duration; a single long frame counts little."""
        expected = self._expected()
        if not self._frame:
            self._frame = float(min(duration, VIDEO_TIMESCALE))
        self._frame += (min(duration, 8 * expected) - self._frame) / 8

    def _show_still(self, end: int, now: float) -> None:
        """Audio went on alone for too long: the last key frame fills the time up to now and a bit more."""
        if self._last_key is None:
            return
        begin = self._shown
        run = self._video_run
        if run is None:
            decoded = self._decoded + max(1, self._duration)
            run = self._video_run = TrackRun(VIDEO_TRACK_ID, decoded, video=True)
            self._produced = now, end
        else:
            decoded = run.base_time + run.duration
        duration = max(0, end - begin) + STILL
        run.add_video(self._last_key, duration, begin - decoded, key=True)
        self._decoded, self._time, self._duration = decoded, -1, duration
        self._still, self._shown = begin, begin + duration
        self._has_key = self._need_key = True

    # ---- audio -----------------------------------------------------------------------------------------------------

    def _ticks(self, samples: int) -> int:
        rate = self._audio_config.sample_rate if self._audio_config is not None else VIDEO_TIMESCALE
        return samples * VIDEO_TIMESCALE // rate

    def _add_audio(self, start: int, samples: int, data: bytes) -> None:
        if self._heard and start - self._heard > samples:
            self._fill(start, data)
        run = self._audio_run
        if run is None:
            run = self._audio_run = TrackRun(AUDIO_TRACK_ID, start, video=False)
        elif start > run.base_time + run.duration:
            run.stretch_last(start - run.base_time - run.duration)
        run.add_audio(data, samples)
        self._heard = start + samples

    def _fill_audio(self, time: int) -> None:
        """Audio stopped while video goes on: silence up to ``time``."""
        config = self._audio_config
        if config is not None and self._heard and time - self._ticks(self._heard) > AUDIO_GONE:
            self._fill(time * config.sample_rate // VIDEO_TIMESCALE, b"")

    def _fill(self, until: int, data: bytes) -> None:
        """Fill from the end of audio to ``until`` with silence, or with ``data`` where no silence is known."""
        config = self._audio_config
        filling = self._silence or data
        if config is None or not filling:
            return
        if self._audio_run is None:
            self._audio_run = TrackRun(AUDIO_TRACK_ID, self._heard, video=False)
        step = config.samples_per_frame if self._silence else until - self._heard
        while self._heard < until:
            samples = min(step, until - self._heard)
            self._audio_run.add_audio(filling, samples)
            self._heard += samples

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        video, audio = self._video_run, self._audio_run
        runs = [run for run in (video, audio) if run is not None]
        if not runs:
            return
        self._video_run = self._audio_run = None
        key, self._has_key = self._has_key, False
        produced = b""
        if video is not None:
            produced = _producer_time(VIDEO_TRACK_ID, *self._produced)
        elif audio is not None and not self._has_video:
            produced = _producer_time(AUDIO_TRACK_ID, *self._produced)
            key = self._entered(self._ticks(audio.base_time))
        self._sequence += 1
        self._take(Fragment(framed(produced, write_fragment(self._sequence, runs)), key))

    def _entered(self, time: int) -> bool:
        if time - self._entry < AUDIO_ENTRY:
            return False
        self._entry = time
        return True
