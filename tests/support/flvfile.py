"""FLV files to media events: the container around the tag bodies that RTMP carries."""

from collections.abc import Iterator
from pathlib import Path

from airnode.media.frames import MediaEvent
from airnode.media.rtmp.amf0 import decode
from airnode.media.rtmp.flv import FlvDemuxer
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings


def read_tags(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (tag type, timestamp in ms, body) of each tag."""
    data = path.read_bytes()
    at = int.from_bytes(data[5:9], "big") + 4
    while at + 11 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        stamp = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        yield kind, stamp, data[at + 11 : at + 11 + size]
        at += 11 + size + 4


def read_events(path: Path, start_unix_s: float = 0.0) -> Iterator[tuple[int, list[MediaEvent]]]:
    """Yield (timestamp in ms, examined events) of each tag, whose frames arrive at their time."""
    demuxer, examiner, stamp = FlvDemuxer(), Examiner(Findings()), 0
    for kind, stamp, body in read_tags(path):
        arrived_s = start_unix_s + stamp / 1000
        if kind == 9:
            yield stamp, examiner.examine(demuxer.video(stamp, body, arrived_s), arrived_s)
        elif kind == 8:
            yield stamp, examiner.examine(demuxer.audio(stamp, body, arrived_s), arrived_s)
        elif kind == 18:
            yield stamp, examiner.examine(demuxer.metadata(decode(body)), arrived_s)
    yield stamp, examiner.finish()
