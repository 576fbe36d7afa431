"""Postpones reads that are cheaper to handle together with the next one.

Every read costs a pass through the session, the demuxer and the ingest. More than half of a publisher's reads are one
of these two, and both can wait without loss:

- An audio message alone, while nobody watches ``live.mp4``: a part waits for the next video frame anyway. It waits only
  while video arrives. Viewers of ``live.mp4`` get sound at once, since its wait would be added to their delay.
- A chunk header alone, as FFmpeg writes it. Its payload follows at once.
"""

from typing import Final

from airnode.media.rtmp.chunks import ChunkDecoder
from airnode.media.rtmp.messages import AUDIO, VIDEO

#: If this many audio messages came since the last video message, the next one is not postponed.
_MAX_AUDIO_MESSAGES: Final = 4
_MAX_READ_BYTES: Final = 4096
#: A basic header of one byte and a message header of format 0.
_MAX_HEADER_BYTES: Final = 12


class ReadCoalescer:
    """Keeps the postponed reads of one connection, in order.

    Args:
        decoder: the connection's decoder, which can parse the header at the start of a read.
    """

    def __init__(self, decoder: ChunkDecoder) -> None:
        self._decoder = decoder
        #: Complete audio messages.
        self._messages: list[bytes] = []
        #: A chunk header after them whose payload has not arrived.
        self._header = b""
        #: At the maximum until the first video message: audio alone is never postponed.
        self._audio_since_video = _MAX_AUDIO_MESSAGES

    def postpone(self, data: bytes, *, audio: bool = True) -> bool:
        """Keep a read for the next :meth:`take`. Return False if it was not kept.

        Args:
            audio: whether audio may wait.
        """
        if len(data) > _MAX_READ_BYTES:
            return False
        joined = self._header + data if self._header else data
        peeked = self._decoder.peek(joined)
        if peeked is None:
            return False
        type_id, missing_bytes = peeked
        if audio and type_id == AUDIO and missing_bytes == 0 and self._audio_since_video < _MAX_AUDIO_MESSAGES:
            self._messages.append(joined)
            self._header = b""
            self._audio_since_video += 1
            return True
        if missing_bytes > 0 and type_id in (AUDIO, VIDEO) and joined is data and len(data) <= _MAX_HEADER_BYTES:
            self._header = data
            return True
        return False

    def take(self, data: bytes) -> bytes:
        """Return the postponed reads followed by ``data``; nothing is postponed afterwards."""
        if self._messages or self._header:
            data = b"".join((*self._messages, self._header, data))
            self._messages.clear()
            self._header = b""
        return data

    def video_received(self) -> None:
        """Count audio messages from here on."""
        self._audio_since_video = 0
