"""Reads frames from the fragmented MP4 of another muxer (ISO/IEC 14496-12). Sans-IO.

All tracks of the initialization section are read. Frames keep the publisher's timestamps. Names with ``_ticks`` are
times in the timescale of the track.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from struct import error, unpack_from

from airnode.errors import InvalidInput
from airnode.media.codecs.aac import parse_asc
from airnode.media.codecs.av1 import parse_av1c
from airnode.media.codecs.avc import parse_avcc
from airnode.media.codecs.hevc import parse_hvcc
from airnode.media.codecs.opus import packet_samples, parse_dops
from airnode.media.frames import AudioConfig, Frame, VideoConfig

_VIDEO_RECORDS = {
    b"avc1": (b"avcC", parse_avcc),
    b"avc3": (b"avcC", parse_avcc),
    b"hvc1": (b"hvcC", parse_hvcc),
    b"hev1": (b"hvcC", parse_hvcc),
    b"av01": (b"av1C", parse_av1c),
}
#: Size of a sample entry before the boxes in it: VisualSampleEntry, AudioSampleEntry.
_VISUAL_ENTRY_BYTES, _AUDIO_ENTRY_BYTES = 78, 28
_NON_SYNC = 0x10000
#: Tags of the descriptors in an esds (14496-1 7.2.6): ES, DecoderConfig, DecoderSpecificInfo.
_ES, _DECODER, _SPECIFIC = 3, 4, 5
_MAX_SAMPLES = 100_000


class UnsupportedTrack(InvalidInput):
    """Browsers cannot play this codec from fragmented MP4, or airnode does not support it."""

    code, title = "unsupported_track", "Unsupported codec"


@dataclass(frozen=True, slots=True)
class Fmp4Track:
    """A track of the file, with the default values of its samples (trex)."""

    config: VideoConfig | AudioConfig
    timescale: int
    duration_ticks: int
    size_bytes: int
    flags: int

    @property
    def kind(self) -> str:
        """Return ``video`` or ``audio``."""
        return "video" if isinstance(self.config, VideoConfig) else "audio"

    def in_90k(self, ticks: int) -> int:
        """Return the time ``ticks`` in units of 1/90,000 s."""
        return ticks * 90_000 // self.timescale


@dataclass(frozen=True, slots=True)
class _TrackRun:
    """The header of a trun. ``at``: the position of its sample table."""

    at: int
    count: int
    flags: int
    first_flags: int | None


class Fmp4Demuxer:
    """Reads one file: its initialization section, then fragments in order.

    Raises:
        ValueError: the initialization section is cut short or invalid.
        UnsupportedTrack: a codec is not supported.
    """

    def __init__(self, init: bytes) -> None:
        with _TruncationAsValueError():
            moov = _only(_boxes(init, 0, len(init)), b"moov")
            #: {track id: track}.
            self._tracks = _tracks(init, *moov)
        if not self._tracks:
            raise ValueError("a file without tracks")
        #: {track id: decode time of its last sample}. Samples that are not later were read before.
        self._last_dts_ticks: dict[int, int] = {}

    @property
    def tracks(self) -> tuple[Fmp4Track, ...]:
        return tuple(self._tracks.values())

    def read(self, data: bytes, arrived_s: float) -> list[Frame]:
        """Return the frames of one or more whole fragments, without the frames that were read before.

        Args:
            arrived_s: unix time at which the first frame arrived; the others are spaced by their timestamps.

        Raises:
            ValueError: the data is cut short or invalid.
        """
        found: list[Frame] = []
        #: {track id: first decode time in this data}.
        first_dts_ticks: dict[int, int] = {}
        with _TruncationAsValueError():
            for kind, at, end in _boxes(data, 0, len(data)):
                if kind == b"moof":
                    for inner, begin, stop in _boxes(data, at, end):
                        if inner == b"traf":
                            found += self._fragment(data, at - 8, begin, stop, arrived_s, first_dts_ticks)
        return found

    def _fragment(
        self, data: bytes, moof: int, at: int, end: int, arrived_s: float, first_dts_ticks: dict[int, int]
    ) -> Iterator[Frame]:
        boxes = list(_boxes(data, at, end))
        track_id, header = _track_header(data, _only(boxes, b"tfhd")[0])
        track = self._tracks.get(track_id)
        if track is None:
            return
        track = replace(
            track,
            duration_ticks=header.get("duration_ticks", track.duration_ticks),
            size_bytes=header.get("size_bytes", track.size_bytes),
            flags=header.get("flags", track.flags),
        )
        base = header.get("base", moof)
        begin, _ = _only(boxes, b"tfdt")
        (dts_ticks,) = unpack_from(">Q" if data[begin] else ">I", data, begin + 4)
        first_ticks = first_dts_ticks.setdefault(track_id, dts_ticks)
        position = base
        for kind, begin, _ in boxes:
            if kind != b"trun":
                continue
            run, offset = _run(data, begin)
            position = base + offset if offset is not None else position
            for duration_ticks, size_bytes, flags, cts_ticks in _entries(data, run, track):
                if position + size_bytes > len(data):
                    raise ValueError("a sample lies behind the end")
                if dts_ticks > self._last_dts_ticks.get(track_id, -1):
                    self._last_dts_ticks[track_id] = dts_ticks
                    is_key = not flags & _NON_SYNC
                    sample = data[position : position + size_bytes]
                    passed_s = (dts_ticks - first_ticks) / track.timescale
                    yield _frame(track, dts_ticks, cts_ticks, sample, is_key, arrived_s + passed_s)
                position += size_bytes
                dts_ticks += duration_ticks


def _frame(track: Fmp4Track, dts_ticks: int, cts_ticks: int, data: bytes, is_key: bool, arrived_s: float) -> Frame:
    dts_90k = track.in_90k(dts_ticks)
    if isinstance(track.config, VideoConfig):
        return Frame("video", dts_90k, track.in_90k(dts_ticks + cts_ticks) - dts_90k, data, is_key, arrived_s)
    samples = packet_samples(data) if track.config.codec == "opus" else 0
    return Frame("audio", dts_90k, 0, data, True, arrived_s, 0, samples)


class _TruncationAsValueError:
    """Raises ValueError instead of the errors that truncated data causes."""

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, trace: object) -> None:
        if isinstance(wrong, error | IndexError | OverflowError):
            raise ValueError(f"fragmented MP4 that is cut short: {wrong}") from wrong


# ---- boxes ----------------------------------------------------------------------------------------------------------


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the (type, start of the body, end) of the boxes in a range."""
    while at + 8 <= end:
        size, kind = unpack_from(">I4s", data, at)
        if not 8 <= size <= end - at:
            raise ValueError(f"a box of {size} bytes where {end - at} are left")
        yield kind, at + 8, at + size
        at += size


def _only(boxes: Iterator[tuple[bytes, int, int]] | list[tuple[bytes, int, int]], wanted: bytes) -> tuple[int, int]:
    for kind, at, end in boxes:
        if kind == wanted:
            return at, end
    raise ValueError(f"no {wanted.decode()} box")


def _inside(data: bytes, at: int, end: int, *path: bytes) -> tuple[int, int]:
    """Return the (start, end) of the body of the box at this path of types."""
    for kind in path:
        at, end = _only(_boxes(data, at, end), kind)
    return at, end


# ---- the initialization section -------------------------------------------------------------------------------------


def _tracks(data: bytes, at: int, end: int) -> dict[int, Fmp4Track]:
    defaults: dict[int, tuple[int, int, int]] = {}
    extends = _inside(data, at, end, b"mvex")
    for kind, begin, _ in _boxes(data, *extends):
        if kind == b"trex":
            track_id, _, duration_ticks, size_bytes, flags = unpack_from(">5I", data, begin + 4)
            defaults[track_id] = duration_ticks, size_bytes, flags
    found = {}
    for kind, begin, stop in _boxes(data, at, end):
        if kind == b"trak":
            track_id, timescale, config = _track(data, begin, stop)
            found[track_id] = Fmp4Track(config, timescale, *defaults.get(track_id, (0, 0, 0)))
    return found


def _track(data: bytes, at: int, end: int) -> tuple[int, int, VideoConfig | AudioConfig]:
    header, _ = _inside(data, at, end, b"tkhd")
    (track_id,) = unpack_from(">I", data, header + (20 if data[header] else 12))
    media = _inside(data, at, end, b"mdia")
    media_header, _ = _inside(data, *media, b"mdhd")
    (timescale,) = unpack_from(">I", data, media_header + (20 if data[media_header] else 12))
    if not timescale:
        raise ValueError("a track without a timescale")
    descriptions, stop = _inside(data, *media, b"minf", b"stbl", b"stsd")
    for entry, begin, close in _boxes(data, descriptions + 8, stop):
        return track_id, timescale, _config(data, entry, begin, close)
    raise ValueError("a track without a sample entry")


def _config(data: bytes, entry: bytes, at: int, end: int) -> VideoConfig | AudioConfig:
    if entry in _VIDEO_RECORDS:
        box, parse = _VIDEO_RECORDS[entry]
        begin, stop = _inside(data, at + _VISUAL_ENTRY_BYTES, end, box)
        return parse(data[begin:stop])
    if entry == b"mp4a":
        begin, stop = _inside(data, at + _AUDIO_ENTRY_BYTES, end, b"esds")
        return parse_asc(_specific(data[begin + 4 : stop]))
    if entry == b"Opus":
        begin, stop = _inside(data, at + _AUDIO_ENTRY_BYTES, end, b"dOps")
        return parse_dops(data[begin:stop])
    raise UnsupportedTrack(
        f"The codec {entry.decode('latin-1').strip()!r} is not supported. Send H.264, H.265 or AV1 with AAC or Opus."
    )


def _specific(esds: bytes) -> bytes:
    """Return the DecoderSpecificInfo of an ES_Descriptor (14496-1 7.2.6.5)."""
    at, wanted = 0, _ES
    while at < len(esds):
        tag, size, at = _descriptor(esds, at)
        if tag != wanted:
            at += size
            continue
        if tag == _SPECIFIC:
            return esds[at : at + size]
        if tag == _ES:
            flags, wanted = esds[at + 2], _DECODER
            at += 3 + (2 if flags & 0x80 else 0)
            at += 1 + esds[at] if flags & 0x40 else 0
            at += 2 if flags & 0x20 else 0
        else:
            at, wanted = at + 13, _SPECIFIC
    raise ValueError("audio without a decoder configuration")


def _descriptor(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the (tag, size, start of the body) of a descriptor; the size is in the expandable form (8.3.3)."""
    tag, size = data[at], 0
    at += 1
    for _ in range(4):
        byte = data[at]
        at += 1
        size = size << 7 | byte & 0x7F
        if not byte & 0x80:
            break
    return tag, size, at


# ---- fragments ------------------------------------------------------------------------------------------------------


def _track_header(data: bytes, at: int) -> tuple[int, dict[str, int]]:
    """Return the (track id, defaults) of a tfhd.

    The defaults are ``base`` (a position in the data), ``duration_ticks``, ``size_bytes`` and ``flags``, if present.
    """
    present, track_id = unpack_from(">II", data, at)
    at += 8
    found = {}
    for flag, form, name in (
        (1, ">Q", "base"),
        (2, ">I", ""),
        (8, ">I", "duration_ticks"),
        (16, ">I", "size_bytes"),
        (32, ">I", "flags"),
    ):
        if present & flag:
            (value,) = unpack_from(form, data, at)
            at += 8 if form == ">Q" else 4
            if name:
                found[name] = value
    return track_id, found


def _run(data: bytes, at: int) -> tuple[_TrackRun, int | None]:
    """Return (trun, offset of its data from the base). Offset None: the data follows the previous run."""
    flags, count = unpack_from(">II", data, at)
    if count > _MAX_SAMPLES:
        raise ValueError(f"a run of {count} samples")
    at += 8
    offset: int | None = None
    first_flags: int | None = None
    if flags & 1:
        (offset,) = unpack_from(">i", data, at)
        at += 4
    if flags & 4:
        (first_flags,) = unpack_from(">I", data, at)
        at += 4
    return _TrackRun(at, count, flags, first_flags), offset


def _entries(data: bytes, run: _TrackRun, track: Fmp4Track) -> Iterator[tuple[int, int, int, int]]:
    """Yield (duration in ticks, size in bytes, flags, composition offset in ticks) of each sample.

    Composition offsets are read as signed in both versions, because some muxers write negative ones in version 0.
    """
    at = run.at
    for index in range(run.count):
        values = [track.duration_ticks, track.size_bytes, track.flags, 0]
        if index == 0 and run.first_flags is not None:
            values[2] = run.first_flags
        for position, flag in enumerate((0x100, 0x200, 0x400, 0x800)):
            if run.flags & flag:
                (values[position],) = unpack_from(">i" if flag == 0x800 else ">I", data, at)
                at += 4
        yield values[0], values[1], values[2], values[3]
