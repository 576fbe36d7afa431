"""A small reader of progressive MP4 files, independent of the writer, for the tests."""

from dataclasses import dataclass
from itertools import accumulate
from struct import unpack_from

from tests.support.bmff import Box, parse


@dataclass
class Sample:
    time: int
    duration: int
    cts: int
    sync: bool
    data: bytes
    entry: int


@dataclass
class Mp4Track:
    handler: str
    timescale: int
    entries: list[Box]
    edits: list[tuple[int, int]]
    duration: int
    samples: list[Sample]


def _top(data: bytes) -> dict[str, tuple[int, int]]:
    """Return {type: (start of the body, end)} of the file's boxes. Each type must occur once, and no byte be left."""
    found: dict[str, tuple[int, int]] = {}
    at = 0
    while at < len(data):
        size, kind = unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            size, header = unpack_from(">Q", data, at + 8)[0], 16
        assert header <= size <= len(data) - at
        assert kind.decode() not in found
        found[kind.decode()] = (at + header, at + size)
        at += size
    return found


def read_mp4(data: bytes) -> list[Mp4Track]:
    """Return all tracks; fail if tables contradict each other, or a sample lies outside of the mdat."""
    top = _top(data)
    assert list(top) == ["ftyp", "moov", "mdat"], "fast start: the tables come first"
    moov = Box("moov", b"", parse(data[top["moov"][0] : top["moov"][1]]))
    return [_track(trak, data, top["mdat"]) for trak in moov.all("trak")]


def _pairs(box: Box, signed: bool = False) -> list[int]:
    values = []
    for n in range(unpack_from(">I", box.body, 4)[0]):
        count, value = unpack_from(">Ii" if signed else ">II", box.body, 8 + 8 * n)
        values += [value] * count
    assert len(box.body) == 8 + 8 * unpack_from(">I", box.body, 4)[0]
    return values


def _list(box: Box, form: str, at: int = 4) -> list[int]:
    count = unpack_from(">I", box.body, at)[0]
    found = list(unpack_from(f">{count}{form}", box.body, at + 4))
    assert len(box.body) == at + 4 + count * (8 if form == "Q" else 4)
    return found


def _track(trak: Box, data: bytes, mdat: tuple[int, int]) -> Mp4Track:
    edts = Box("edts", b"", parse(trak.one("edts").body))
    elst = edts.one("elst").body
    edits = [unpack_from(">Qq", elst, 8 + 20 * n) for n in range(unpack_from(">I", elst, 4)[0])]
    mdhd = trak.one("mdia/mdhd").body
    assert mdhd[0] == 1
    timescale, duration = unpack_from(">IQ", mdhd, 20)
    stbl = trak.one("mdia/minf/stbl")
    durations, sizes = _pairs(stbl.one("stts")), _list(stbl.one("stsz"), "I", 8)
    ctts = stbl.all("ctts")
    cts = _pairs(ctts[0], signed=ctts[0].body[0] == 1) if ctts else [0] * len(sizes)
    assert len(durations) == len(sizes) == len(cts)
    assert sum(durations) == duration
    stss = stbl.all("stss")
    sync = set(_list(stss[0], "I")) if stss else set(range(1, len(sizes) + 1))
    wide = stbl.all("co64")
    places = _places(stbl, _list(wide[0], "Q") if wide else _list(stbl.one("stco"), "I"), sizes)
    times = [0, *accumulate(durations)]
    samples = []
    for n, (at, entry) in enumerate(places):
        assert mdat[0] <= at and at + sizes[n] <= mdat[1]
        samples.append(Sample(times[n], durations[n], cts[n], n + 1 in sync, data[at : at + sizes[n]], entry))
    entries = stbl.one("stsd").children
    assert all(1 <= sample.entry <= len(entries) for sample in samples)
    return Mp4Track(trak.one("mdia/hdlr").body[8:12].decode(), timescale, entries, edits, duration, samples)


def _places(stbl: Box, offsets: list[int], sizes: list[int]) -> list[tuple[int, int]]:
    """Return (offset, number of the sample entry) of each sample."""
    body = stbl.one("stsc").body
    rows = [unpack_from(">III", body, 8 + 12 * n) for n in range(unpack_from(">I", body, 4)[0])]
    assert rows[0][0] == 1
    found: list[tuple[int, int]] = []
    for chunk, offset in enumerate(offsets, 1):
        _, count, entry = [row for row in rows if row[0] <= chunk][-1]
        for _ in range(count):
            found.append((offset, entry))
            offset += sizes[len(found) - 1]
    assert len(found) == len(sizes)
    return found
