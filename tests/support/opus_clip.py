"""Opus packets and their header, as an encoder with Enhanced RTMP sends them."""

import subprocess
from pathlib import Path

from tests.support.rtmp import box_body, boxes
from tests.support.tag_publisher import Tag

PACKET_MS = 20
_OPTIONS = ["-c:a", "libopus", "-b:a", "64k", "-movflags", "+empty_moov+default_base_moof+frag_every_frame"]


def opus_tags(path: Path, seconds: int) -> list[Tag]:
    """Return the tags of a tone; ``path`` is where ffmpeg writes it."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-ac", "2", "-t", str(seconds)]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *tone, *_OPTIONS, "-f", "mp4", str(path)], check=True)
    data = path.read_bytes()
    dops = box_body(data, b"dOps")
    head = b"OpusHead\x01" + dops[1:2] + dops[2:4][::-1] + dops[4:8][::-1] + dops[8:10][::-1] + dops[10:]
    packets = [body for kind, body in boxes(data) if kind == b"mdat"]
    frames = [Tag(8, PACKET_MS * index, b"\x91Opus" + packet) for index, packet in enumerate(packets)]
    return [Tag(8, 0, b"\x90Opus" + head), *frames]
