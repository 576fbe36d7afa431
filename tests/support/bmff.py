"""A small reader of ISO boxes, independent of the writer, for the tests."""

from dataclasses import dataclass, field
from struct import unpack_from

CONTAINERS = {"moov", "trak", "mdia", "minf", "stbl", "dinf", "mvex", "moof", "traf"}


@dataclass
class Box:
    kind: str
    body: bytes
    children: list["Box"] = field(default_factory=list)

    def all(self, path: str) -> list["Box"]:
        head, _, rest = path.partition("/")
        found = [child for child in self.children if child.kind == head]
        return [deeper for child in found for deeper in child.all(rest)] if rest else found

    def one(self, path: str) -> "Box":
        (found,) = self.all(path)
        return found


def parse(data: bytes) -> list[Box]:
    """Return all boxes; fail if sizes do not add up exactly."""
    boxes, at = [], 0
    while at < len(data):
        size, kind = unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at, (kind, size, len(data) - at)
        box = Box(kind.decode(), data[at + 8 : at + size])
        if box.kind in CONTAINERS:
            box.children = parse(box.body)
        elif box.kind in ("stsd", "dref"):
            box.children = parse(box.body[8:])
        elif box.kind in ("avc1", "hvc1", "av01"):
            box.children = parse(box.body[78:])
        elif box.kind == "mp4a":
            box.children = parse(box.body[28:])
        boxes.append(box)
        at += size
    return boxes


def root(data: bytes) -> Box:
    return Box("file", data, parse(data))


@dataclass
class Sample:
    time: int
    duration: int
    cts: int
    sync: bool
    data: bytes


def samples(fragment: bytes) -> dict[int, list[Sample]]:
    """Return {track: samples} of one or more fragments, read as a player does (default-base-is-moof)."""
    found: dict[int, list[Sample]] = {}
    at = 0
    boxes = parse(fragment)
    for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True):
        assert (moof.kind, mdat.kind) == ("moof", "mdat")
        moof_bytes = len(moof.body) + 8
        covered = 0
        for traf in moof.all("traf"):
            track, run = _run(traf, fragment[at:], moof_bytes)
            found.setdefault(track, []).extend(run)
            covered += sum(len(sample.data) for sample in run)
        assert covered == len(mdat.body)
        at += moof_bytes + len(mdat.body) + 8
    return found


def _run(traf: Box, base: bytes, moof_bytes: int) -> tuple[int, list[Sample]]:
    tfhd, tfdt, trun = (traf.one(kind).body for kind in ("tfhd", "tfdt", "trun"))
    flags = unpack_from(">I", tfhd)[0]
    track = unpack_from(">I", tfhd, 4)[0]
    assert flags & 0x020000
    assert not flags & ~0x020020
    default_flags = unpack_from(">I", tfhd, 8)[0] if flags & 0x20 else None
    assert tfdt[0] == 1
    time = unpack_from(">Q", tfdt, 4)[0]
    assert trun[0] == 1
    shown = unpack_from(">I", trun)[0] & 0xFFFFFF
    count, offset = unpack_from(">Ii", trun, 4)
    assert shown & 0x301 == 0x301
    assert offset >= moof_bytes + 8
    at, found = 12, []
    for _ in range(count):
        duration, size = unpack_from(">II", trun, at)
        at += 8
        sample_flags, cts = default_flags, 0
        if shown & 0x400:
            sample_flags = unpack_from(">I", trun, at)[0]
            at += 4
        if shown & 0x800:
            cts = unpack_from(">i", trun, at)[0]
            at += 4
        assert sample_flags is not None
        found.append(Sample(time, duration, cts, not sample_flags & 0x10000, base[offset : offset + size]))
        time += duration
        offset += size
    assert at == len(trun)
    assert count
    return track, found
