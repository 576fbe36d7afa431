"""Asks FFmpeg's decoder, through PyAV (the extra ``media``), whether a frame can be decoded.

Chromium decodes AAC with the same decoder, and ends its media source at the first frame that it refuses. PyAV takes
0.2 s to import and 16 MiB: it is imported by a thread, when the first stream with AAC comes.
"""

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av import AudioCodecContext


class LibavImport:
    """Imports PyAV at the first wish, without holding up the caller."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._is_imported = False

    def is_ready(self) -> bool:
        """Return whether PyAV can be used now; start to import it if nobody has."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._import, name="import-av", daemon=True)
            self._thread.start()
        return self._is_imported

    def wait(self) -> bool:
        """Return whether PyAV is installed, after it has been imported. Blocking."""
        self.is_ready()
        if self._thread is not None:
            self._thread.join()
        return self._is_imported

    def _import(self) -> None:
        with suppress(ImportError):
            import av  # noqa: F401 - an extra

            self._is_imported = True


LIBAV: Final = LibavImport()


class AacDecoder:
    """Decodes the frames of a track with this AudioSpecificConfig: 12 to 19 us a frame."""

    def __init__(self, record: bytes, libav: LibavImport) -> None:
        self._record = record
        self._libav = libav
        self._decoder: AudioCodecContext | None = None
        libav.is_ready()

    def can_decode(self, data: bytes) -> bool:
        """Return whether a raw frame can be decoded; true while PyAV is being imported, and where it is missing."""
        if not self._libav.is_ready():
            return True
        from av import CodecContext, Packet
        from av.error import FFmpegError

        if self._decoder is None:
            self._decoder = CodecContext.create("aac", "r")
            self._decoder.extradata = self._record
            self._decoder.thread_count = 1
        try:
            self._decoder.decode(Packet(data))
        except FFmpegError:
            return False
        return True
