"""The messages that a session sends to its peer, as bytes."""

from collections.abc import Mapping
from typing import Final, Literal

from airnode.media.rtmp import amf0
from airnode.media.rtmp.amf_values import AmfInput
from airnode.media.rtmp.chunks import SET_CHUNK_SIZE, ChunkEncoder, Message
from airnode.media.rtmp.messages import (
    ACK_WINDOW_BYTES,
    ACKNOWLEDGEMENT,
    COMMAND_AMF0,
    SERVER_CHUNK_SIZE_BYTES,
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    WINDOW_ACK_SIZE,
    connect_result,
    status_info,
)

_CONTROL_CSID, _COMMAND_CSID, _STATUS_CSID = 2, 3, 5
#: The limit type "dynamic" of Set Peer Bandwidth (section 5.4.5).
_DYNAMIC: Final = b"\x02"


class Answers:
    """Collects answers until :meth:`take`."""

    def __init__(self) -> None:
        self._encoder = ChunkEncoder()
        self._out = bytearray()

    def take(self) -> bytes:
        """Return the bytes for the peer and forget them."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def raw(self, data: bytes) -> None:
        """Add bytes that are no message: the handshake."""
        self._out += data

    def control(self, type_id: int, payload: bytes) -> None:
        """Add a protocol control message."""
        self._out += self._encoder.encode(_CONTROL_CSID, Message(type_id, 0, 0, payload))

    def user_control(self, payload: bytes) -> None:
        self.control(USER_CONTROL, payload)

    def acknowledge(self, received_bytes: int) -> None:
        self.control(ACKNOWLEDGEMENT, (received_bytes & 0xFFFFFFFF).to_bytes(4, "big"))

    def connected(self, transaction: float, options: Mapping[str, object]) -> None:
        """Add the answers to connect; later messages are sent in larger chunks."""
        self.control(WINDOW_ACK_SIZE, ACK_WINDOW_BYTES.to_bytes(4, "big"))
        self.control(SET_PEER_BANDWIDTH, ACK_WINDOW_BYTES.to_bytes(4, "big") + _DYNAMIC)
        self.control(SET_CHUNK_SIZE, SERVER_CHUNK_SIZE_BYTES.to_bytes(4, "big"))
        self._encoder.chunk_size_bytes = SERVER_CHUNK_SIZE_BYTES
        self.command("_result", transaction, *connect_result(options))

    def command(self, name: str, transaction: float, *arguments: AmfInput) -> None:
        """Add a command on message stream 0."""
        payload = amf0.encode((name, transaction, *arguments))
        self._out += self._encoder.encode(_COMMAND_CSID, Message(COMMAND_AMF0, 0, 0, payload))

    def status(self, level: Literal["status", "error"], code: str, description: str, stream_id: int) -> None:
        """Add a status. Encoders show an error's description; some show only its code."""
        payload = amf0.encode(("onStatus", 0.0, None, status_info(level, code, description)))
        self._out += self._encoder.encode(_STATUS_CSID, Message(COMMAND_AMF0, stream_id, 0, payload))
