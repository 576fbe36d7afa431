"""Making a Playlist Delta Update of a full media playlist of ours, from its text alone (RFC 8216bis 6.2.5.1)."""

import re

_CAN_SKIP_UNTIL = re.compile(r"CAN-SKIP-UNTIL=([0-9.]+)")
_PART_DURATION = re.compile(r"#EXT-X-PART:DURATION=([0-9.]+)")


def delta_update(text: bytes) -> bytes:
    """The same playlist without the segments beyond the skip boundary; all of it where there are none, or where its
    server does not offer to skip. What the origin's own window writes.

    Args:
        text: a full media playlist of :mod:`airnode.media.hls.playlist`.
    """
    lines = text.decode().splitlines(keepends=True)
    offered = next((found for line in lines if (found := _CAN_SKIP_UNTIL.search(line))), None)
    if offered is None:
        return text
    ends = [index for index, line in enumerate(lines) if not line.startswith("#")]
    skipped = _skippable(lines, ends, float(offered[1]))
    if not skipped:
        return text
    first_map = next(index for index, line in enumerate(lines) if line.startswith("#EXT-X-MAP:"))
    kept = lines[ends[skipped - 1] + 1 :]
    return "".join([*lines[:first_map], f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n", *kept]).encode()


def _skippable(lines: list[str], ends: list[int], boundary_s: float) -> int:
    """How many segments lie further from the end than ``boundary_s``."""
    tail = lines[ends[-1] + 1 :] if ends else []
    from_end_s = sum(float(part[1]) for line in tail if (part := _PART_DURATION.match(line)))
    for kept, end in enumerate(reversed(ends)):
        if from_end_s >= boundary_s:
            return len(ends) - kept
        from_end_s += float(lines[end - 1].removeprefix("#EXTINF:").rstrip(",\n"))
    return 0
