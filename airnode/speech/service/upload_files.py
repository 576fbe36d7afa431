"""The directory of uploads on a master's disk. All methods block: they run in threads, never on the event loop.

::

    incoming/<transcript id>   a file that is being received
    <transcript id>/upload     a file that belongs to a transcript
    <transcript id>/audio.pcm  the same as 16 kHz samples, from which workers read their pieces
"""

import contextlib
import re
from pathlib import Path
from typing import BinaryIO

from airnode.config.sections.speech import SpeechSection
from airnode.store.files.disk import remove_directory, require_free_bytes, sync_directory

_INCOMING = "incoming"
TRANSCRIPT_ID = re.compile(r"t[0-9a-f]{24}\Z")


def uploads_root(section: SpeechSection, data_dir: Path) -> Path:
    """Return the directory of uploads of a node."""
    return section.uploads_dir or data_dir / "uploads"


class UploadFiles:
    """The files.

    Args:
        min_free_bytes: nothing is taken while the disk has less free space, ``speech.min_free_bytes``.
    """

    def __init__(self, root: Path, min_free_bytes: int) -> None:
        self.root = root
        self._min_free_bytes = min_free_bytes

    def begin(self, transcript_id: str) -> BinaryIO:
        """Open the file of an upload. Raises OSError, and DiskTooFull, which is one."""
        self.require_space()
        self._incoming(transcript_id).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        return self._incoming(transcript_id).open("xb")

    def require_space(self) -> None:
        """Raise DiskTooFull if the disk has less free space than ``speech.min_free_bytes``."""
        require_free_bytes(self.root, self._min_free_bytes, "speech.min_free_bytes")

    def incoming(self, transcript_id: str) -> Path:
        """Return where an upload is received."""
        return self._incoming(transcript_id)

    def keep(self, transcript_id: str) -> Path:
        """Move a received file to its transcript's directory; return its path. It survives a power cut there."""
        path = self.upload(transcript_id)
        path.parent.mkdir(mode=0o750)
        self._incoming(transcript_id).rename(path)
        sync_directory(path.parent)
        sync_directory(self.root)
        return path

    def begin_copy(self, transcript_id: str) -> Path:
        """Return where the upload of another master is written, beside :meth:`upload`."""
        folder = self.root / transcript_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        return folder / "upload.part"

    def discard(self, transcript_id: str) -> None:
        """Remove what there is of an upload."""
        self._incoming(transcript_id).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            remove_directory(self.root / transcript_id)

    def upload(self, transcript_id: str) -> Path:
        """Return the path of a kept upload."""
        return self.root / transcript_id / "upload"

    def pcm(self, transcript_id: str) -> Path:
        """Return the path of its samples."""
        return self.root / transcript_id / "audio.pcm"

    def remove_incoming(self) -> None:
        """Remove files whose receiving a crash interrupted. Only before any is received."""
        for path in (self.root / _INCOMING).glob("*"):
            path.unlink()

    def kept(self) -> set[str]:
        """Return the ids of the transcripts whose files are here."""
        if not self.root.is_dir():
            return set()
        return {path.name for path in self.root.iterdir() if TRANSCRIPT_ID.match(path.name)}

    def _incoming(self, transcript_id: str) -> Path:
        return self.root / _INCOMING / transcript_id
