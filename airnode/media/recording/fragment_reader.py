"""Parses the initialization sections and the fragments (``moof``) that airnode wrote. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import error, unpack_from

#: Sample flags: sample_is_non_sync_sample (ISO/IEC 14496-12 8.8.3.1).
_NON_SYNC = 0x10000
_TFHD_FLAGS = 0x20
_TRUN_OFFSET, _TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_CTS = 0x1, 0x100, 0x200, 0x400, 0x800


class Malformed(ValueError):
    """airnode did not write these bytes."""


@dataclass(frozen=True, slots=True)
class TrackHeader:
    """A track of an initialization section.

    Attributes:
        handler: ``vide`` or ``soun``.
        entry: the sample entry, a whole box.
        media_header: the vmhd or smhd, a whole box.
        width, height: 16.16 fixed point, as in the tkhd.
    """

    track_id: int
    handler: bytes
    timescale: int
    entry: bytes
    media_header: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one track in one fragment.

    Attributes:
        base_ticks: decode time of the first sample.
        data_offset: of the first sample's bytes, from the start of the moof.
        sync: numbers of the sync samples within the run; None: all samples are sync samples.
    """

    track_id: int
    base_ticks: int
    data_offset: int
    durations: Sequence[int]
    sizes: Sequence[int]
    cts: Sequence[int]
    sync: Sequence[int] | None


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the (type, start of the body, end) of each box in a range; positions in bytes.

    Raises:
        Malformed: the sizes of the boxes do not fit the range.
    """
    at = start
    while at < end:
        if end - at < 8:
            raise Malformed("a box is cut off")
        size, kind = unpack_from(">I4s", data, at)
        if not 8 <= size <= end - at:
            raise Malformed(f"a box {kind!r} of {size} bytes does not fit")
        yield kind, at + 8, at + size
        at += size


def _only(data: bytes, path: Sequence[bytes], start: int, end: int) -> tuple[int, int]:
    for kind in path:
        for found, begin, stop in boxes(data, start, end):
            if found == kind:
                start, end = begin, stop
                break
        else:
            raise Malformed(f"there is no {kind!r}")
    return start, end


def read_init(data: bytes) -> list[TrackHeader]:
    """Return the tracks of an initialization section.

    Raises:
        Malformed: airnode did not write it.
    """
    try:
        start, end = _only(data, (b"moov",), 0, len(data))
        return [_track(data, begin, stop) for kind, begin, stop in boxes(data, start, end) if kind == b"trak"]
    except error as problem:
        raise Malformed(str(problem)) from None


def _track(data: bytes, start: int, end: int) -> TrackHeader:
    tkhd, tkhd_end = _only(data, (b"tkhd",), start, end)
    mdia = _only(data, (b"mdia",), start, end)
    mdhd, _ = _only(data, (b"mdhd",), *mdia)
    hdlr, _ = _only(data, (b"hdlr",), *mdia)
    minf = _only(data, (b"minf",), *mdia)
    stsd, stsd_end = _only(data, (b"stbl", b"stsd"), *minf)
    handler = data[hdlr + 8 : hdlr + 12]
    header, header_end = _only(data, (b"vmhd" if handler == b"vide" else b"smhd",), *minf)
    if data[mdhd] or data[tkhd]:
        raise Malformed("a header has a version that airnode does not write")
    width, height = unpack_from(">II", data, tkhd_end - 8)
    return TrackHeader(
        track_id=unpack_from(">I", data, tkhd + 12)[0],
        handler=handler,
        timescale=unpack_from(">I", data, mdhd + 12)[0],
        entry=data[stsd + 8 : stsd_end],
        media_header=data[header - 8 : header_end],
        width=width,
        height=height,
    )


def read_moof(data: bytes) -> list[Run]:
    """Return the runs of the ``moof`` box ``data``.

    Raises:
        Malformed: airnode did not write it.
    """
    try:
        start, end = _only(data, (b"moof",), 0, len(data))
        return [_run(data, begin, stop) for kind, begin, stop in boxes(data, start, end) if kind == b"traf"]
    except error as problem:
        raise Malformed(str(problem)) from None


def _run(data: bytes, start: int, end: int) -> Run:
    tfhd, _ = _only(data, (b"tfhd",), start, end)
    tfdt, _ = _only(data, (b"tfdt",), start, end)
    trun, trun_end = _only(data, (b"trun",), start, end)
    tfhd_flags, track_id = unpack_from(">II", data, tfhd)
    flags = unpack_from(">I", data, trun)[0] & 0xFFFFFF
    if tfhd_flags & 0xFFFF & ~_TFHD_FLAGS or flags & ~(_TRUN_FLAGS | _TRUN_CTS) != (
        _TRUN_OFFSET | _TRUN_DURATION | _TRUN_SIZE
    ):
        raise Malformed("a run has fields that airnode does not write")
    if data[tfdt] != 1:
        raise Malformed("a decode time has a version that airnode does not write")
    count, data_offset = unpack_from(">Ii", data, trun + 4)
    fields = 2 + bool(flags & _TRUN_FLAGS) + bool(flags & _TRUN_CTS)
    if trun + 12 + 4 * fields * count != trun_end or not count:
        raise Malformed("a run has another number of samples than it says")
    table = unpack_from(f">{fields * count}I", data, trun + 12)
    has_flags = bool(flags & _TRUN_FLAGS)
    return Run(
        track_id=track_id,
        base_ticks=unpack_from(">Q", data, tfdt + 4)[0],
        data_offset=data_offset,
        durations=table[::fields],
        sizes=table[1::fields],
        cts=unpack_from(f">{fields * count}i", data, trun + 12)[fields - 1 :: fields] if flags & _TRUN_CTS else (),
        sync=[n for n, each in enumerate(table[2::fields]) if not each & _NON_SYNC] if has_flags else None,
    )
