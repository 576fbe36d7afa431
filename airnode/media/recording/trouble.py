"""What keeps recordings from being made, in words and as a code."""

import errno
from pathlib import Path

from airnode.bus.messages import Notice

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskTooFull(OSError):
    """Less is free than ``recording.min_free_bytes``."""

    def __init__(self, free: int, least: int) -> None:
        text = f"{free >> 10:,} KiB are free, and {least >> 10:,} KiB have to be (recording.min_free_bytes)"
        super().__init__(text)


def stopped_notice(error: OSError, root: Path) -> Notice:
    """The disk takes nothing more."""
    reason = error.strerror or str(error)
    text = f"Recording has stopped: {reason} ({root}). Make room or repair the disk; it goes on by itself."
    if isinstance(error, DiskTooFull) or error.errno in _FULL:
        return Notice("recording_disk_full", text, {"path": str(root)})
    if error.errno == errno.EROFS:
        return Notice("recording_disk_read_only", text, {"path": str(root)})
    return Notice("recording_disk_failed", text, {"path": str(root), "error": reason})


def slow_notice(root: Path) -> Notice:
    """The disk takes too little."""
    text = f"The disk of {root} is too slow: segments are missing in recordings."
    return Notice("recording_disk_slow", text, {"path": str(root)})
