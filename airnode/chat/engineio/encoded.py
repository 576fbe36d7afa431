"""A message that was encoded once for all its recipients."""

import base64
from collections.abc import Sequence

from airnode.chat.engineio.packets import SEPARATOR
from airnode.chat.engineio.websocket_frames import Opcode, server_frame


class EncodedPacket:
    """Engine.IO packets that go out together: a text packet, and the binary messages that belong to it.

    Attributes:
        frames: all their WebSocket frames; every client gets the same bytes object.
    """

    __slots__ = ("_attachments", "_record", "_text", "frames")

    def __init__(self, text: bytes, attachments: Sequence[bytes] = ()) -> None:
        """Args:
        text: the text packet with its Engine.IO type, as UTF-8.
        """
        self._text = text
        self._attachments = attachments
        self._record: bytes | None = None
        frame = server_frame(Opcode.TEXT, text)
        self.frames = frame if not attachments else b"".join((frame, *map(_binary_frame, attachments)))

    @property
    def text(self) -> str:
        """Return the text packet."""
        return self._text.decode()

    @property
    def record(self) -> bytes:
        """Return the part of a long-polling payload, made when the first polling client needs it."""
        if self._record is None:
            texts = (self._text, *(b"b" + base64.b64encode(each) for each in self._attachments))
            self._record = SEPARATOR.encode().join(texts)
        return self._record


def _binary_frame(data: bytes) -> bytes:
    return server_frame(Opcode.BINARY, data)


PING = EncodedPacket(b"2")
PONG_PROBE = EncodedPacket(b"3probe")
CLOSE_RECORD = b"1"
NOOP_RECORD = b"6"
