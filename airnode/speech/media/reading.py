"""Reads a media file with PyAV. Runs in a media child only: the file may be hostile, and PyAV blocks.

Only formats that people record in are opened, and none of those that name other files or addresses (playlists).
"""

from collections.abc import Iterator
from typing import BinaryIO, Final, cast

import av
import msgspec
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from airnode.speech.audio import SAMPLE_RATE
from airnode.speech.media.messages import AudioInfo, DecodedAudio

#: FFmpeg's names of the formats that are opened.
FORMATS: Final = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,matroska,webm,mov,mp3,mpeg,mpegts,ogg,"
    "rm,tta,w64,wav,wv"
)
_OPTIONS: Final = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "max_streams": "64"}
#: A packet without a duration counts at most so much.
_LONGEST_PACKET_S: Final = 1.0
#: Silence that stands in for sound that was not sent; shorter ones are inaccurate time stamps.
_SHORTEST_GAP_S: Final = 0.1
_LONGEST_GAP_S: Final = 600.0
#: Frames are joined to so many samples before they are converted: 30 times fewer calls.
_JOINED_SAMPLES: Final = 1 << 15


class FileRefused(Exception):
    """The file is not what it should be; ``code`` is that of an error class in :mod:`airnode.speech.errors`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def opened(source: BinaryIO) -> InputContainer:
    """Open a media file. Raises FileRefused."""
    if not source.read(1):
        raise FileRefused("empty_media", "The file is empty.")
    source.seek(0)
    try:
        return av.open(source, mode="r", options=_OPTIONS, metadata_errors="ignore")
    except (FFmpegError, ValueError, OSError) as error:
        text = "The file is not a recording that can be read, or it is cut off before its index."
        raise FileRefused("unreadable_media", text) from error


def chosen(container: InputContainer, track: int) -> AudioStream:
    """Return the track of sound: the number ``track``, or for -1 the one that the file prefers. Raises FileRefused."""
    streams = container.streams.audio
    if not streams:
        raise FileRefused("no_audio_track", "The file has no track of sound.")
    if track >= len(streams):
        raise FileRefused("no_audio_track", f"The file has {len(streams)} tracks of sound.")
    best = cast(AudioStream | None, container.streams.best("audio"))
    stream = streams[track] if track >= 0 else best or streams[0]
    if not _has_decoder(stream):
        raise FileRefused("unreadable_media", "The sound is in a format that cannot be decoded.")
    return stream


def look(source: BinaryIO, max_duration_s: float, track: int = -1) -> AudioInfo:
    """Return what the file holds. Packets are counted; if they seem too many, samples are.

    Raises:
        FileRefused: it is no media file, has no sound, or no samples.
    """
    with opened(source) as container:
        stream = chosen(container, track)
        said_s = _said_s(container, stream)
        duration_s = _counted_s(container, stream, max_duration_s)
        info = AudioInfo(
            duration_s=round(duration_s, 3),
            is_too_long=False,
            container=container.format.name,
            codec=stream.codec_context.name,
            rate_hz=stream.rate or 0,
            channels=stream.channels or 0,
            tracks=len(container.streams.audio),
            has_video=any(not _is_cover(video) for video in container.streams.video),
        )
    if duration_s <= 0 or duration_s > max_duration_s:
        source.seek(0)
        samples, is_too_long = _decoded_length(source, max_duration_s, track)
        counted_s = samples / SAMPLE_RATE
        length_s = max(counted_s, said_s) if is_too_long else counted_s
        return msgspec.structs.replace(info, duration_s=round(length_s, 3), is_too_long=is_too_long)
    return info


def decode(source: BinaryIO, output: BinaryIO, max_duration_s: float, track: int = -1) -> DecodedAudio:
    """Write the sound as s16le, 16 kHz, mono, at most ``max_duration_s`` of it.

    What cannot be decoded is left out and counted; a file that is cut off is decoded until there.

    Raises:
        FileRefused: it is no media file, has no sound, or nothing of it can be decoded.
    """
    most, written, is_too_long = round(max_duration_s * SAMPLE_RATE), 0, False
    with opened(source) as container:
        frames = _Frames(container, chosen(container, track))
        for block in _converted(container, frames):
            room = (most - written) * 2
            output.write(block[:room])
            written += min(len(block), room) // 2
            if len(block) > room:
                is_too_long = True
                break
    if not written:
        detail = "Nothing of the sound can be decoded." if frames.bad else "The track of sound has no samples."
        raise FileRefused("unreadable_media" if frames.bad else "empty_media", detail)
    return DecodedAudio(written, frames.bad, is_too_long)


class _Clock:
    """Where the next sound begins, in seconds from the start of the file, and the silence before it.

    A recording whose sound begins late or was interrupted keeps its times: silence stands in for what is missing. A
    longer jump than `_LONGEST_GAP_S` is a clock that was set anew, not a silence.
    """

    def __init__(self, container: InputContainer) -> None:
        #: Time stamp of the start; moved when a clock was set anew.
        self._start_s = (container.start_time or 0) / 1_000_000
        self._at_s = 0.0

    def silence_before(self, stamp_s: float | None) -> float:
        """Return how long nothing was sent before the sound with this time stamp."""
        if stamp_s is None:
            return 0.0
        gap_s = stamp_s - self._start_s - self._at_s
        if gap_s > _LONGEST_GAP_S or gap_s < -_LONGEST_GAP_S:
            self._start_s = stamp_s - self._at_s
        if not _SHORTEST_GAP_S <= gap_s <= _LONGEST_GAP_S:
            return 0.0
        self._at_s += gap_s
        return gap_s

    def pass_(self, length_s: float) -> float:
        """Count sound of this length. Return where it ends."""
        self._at_s += length_s
        return self._at_s


class _Frames:
    """Yields the frames of a track. ``bad`` counts the packets without."""

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self._container, self._stream = container, stream
        self.bad = 0

    def __iter__(self) -> Iterator[AudioFrame]:
        self._stream.codec_context.thread_type = "NONE"
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (FFmpegError, ValueError):  # cut off, or no longer readable
                self.bad += 1
                return
            try:
                yield from packet.decode()
            except (FFmpegError, ValueError):
                self.bad += 1


class _Converter:
    """Makes s16le at 16 kHz, mono, of frames. Their format may change in the middle of the track."""

    def __init__(self) -> None:
        self._format: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None
        self._fifo = av.AudioFifo()

    def take(self, frame: AudioFrame) -> Iterator[bytes]:
        """Yield the samples that are ready."""
        given = (frame.format.name, frame.layout.name, frame.rate)
        if given != self._format:
            yield from self.rest()
            self._format = given
        frame.pts = None
        self._fifo.write(frame)
        if self._fifo.samples >= _JOINED_SAMPLES:
            yield from self._convert(self._fifo.read())

    def rest(self) -> Iterator[bytes]:
        """Yield the samples of all frames so far."""
        if self._fifo.samples:
            yield from self._convert(self._fifo.read())
        if self._resampler is not None:
            yield from self._convert(None)
        self._fifo, self._resampler = av.AudioFifo(), None

    def _convert(self, joined: AudioFrame | None) -> Iterator[bytes]:
        if self._resampler is None:
            self._resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for out in self._resampler.resample(joined):
            yield bytes(out.planes[0])[: out.samples * 2]


def _converted(container: InputContainer, frames: _Frames) -> Iterator[bytes]:
    """Yield the samples of a track, with silence where nothing was sent."""
    clock, converter = _Clock(container), _Converter()
    for frame in frames:
        stamp_s = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        if silence_s := clock.silence_before(stamp_s):
            yield from converter.rest()
            yield from _silence(silence_s)
        clock.pass_(frame.samples / frame.rate)
        yield from converter.take(frame)
    yield from converter.rest()


def _silence(length_s: float) -> Iterator[bytes]:
    samples = round(length_s * SAMPLE_RATE)
    while samples > 0:
        yield bytes(2 * min(samples, SAMPLE_RATE))
        samples -= SAMPLE_RATE


def _counted_s(container: InputContainer, stream: AudioStream, max_duration_s: float) -> float:
    """Return the length by the packets, or a little more than ``max_duration_s``."""
    clock, total_s, last_pts = _Clock(container), 0.0, None
    for packet in _packets(container, stream):
        base = float(packet.time_base or stream.time_base or 0)
        length_s = (packet.duration or 0) * base
        if not length_s and packet.pts is not None and last_pts is not None:
            length_s = min(max((packet.pts - last_pts) * base, 0.0), _LONGEST_PACKET_S)
        last_pts = packet.pts
        clock.silence_before(None if packet.pts is None else packet.pts * base)
        total_s = clock.pass_(length_s)
        if total_s > max_duration_s:
            break
    return total_s


def _packets(container: InputContainer, stream: AudioStream) -> "Iterator[Packet[AudioStream]]":
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (FFmpegError, ValueError):
        return


def _decoded_length(source: BinaryIO, max_duration_s: float, track: int) -> tuple[int, bool]:
    most, samples = round(max_duration_s * SAMPLE_RATE), 0
    with opened(source) as container:
        for block in _converted(container, _Frames(container, chosen(container, track))):
            samples += len(block) // 2
            if samples > most:
                return samples, True
    if not samples:
        raise FileRefused("empty_media", "The track of sound has no samples.")
    return samples, False


def _said_s(container: InputContainer, stream: AudioStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _is_cover(stream: object) -> bool:
    return bool(getattr(stream, "disposition", 0) & av.stream.Disposition.attached_pic)


def _has_decoder(stream: AudioStream) -> bool:
    try:
        return bool(stream.codec_context.codec.name)
    except (FFmpegError, ValueError):
        return False
