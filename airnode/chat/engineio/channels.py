"""What a session stands between: a WebSocket below, and the receiver of its messages above."""

import enum
from typing import Protocol, TypeVar

from airnode.chat.engineio.websocket_frames import CloseCode

S_contra = TypeVar("S_contra", contravariant=True)


class CloseReason(enum.StrEnum):
    """Why a session ended, in the words of Socket.IO's server where it has one."""

    PARSE_ERROR = "parse error"
    PING_TIMEOUT = "ping timeout"
    CONNECT_TIMEOUT = "connect timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"
    FORCED_CLOSE = "forced server close"
    SHUTTING_DOWN = "server shutting down"
    SLOW_CLIENT = "slow client"
    CLIENT_LEFT = "client namespace disconnect"
    SERVER_LEFT = "server namespace disconnect"
    REPLACED = "too many clients"


CLOSE_CODES = {
    CloseReason.PARSE_ERROR: CloseCode.PROTOCOL_ERROR,
    CloseReason.SHUTTING_DOWN: CloseCode.GOING_AWAY,
    CloseReason.SLOW_CLIENT: CloseCode.POLICY_VIOLATION,
    CloseReason.REPLACED: CloseCode.TRY_AGAIN_LATER,
}


class SessionOwner(Protocol[S_contra]):
    """Whoever has the sessions of a node."""

    def admitted(self, session: S_contra) -> None:
        """The client is in its first namespace."""
        ...

    def reached(self, limit: str) -> None:
        """A client reached a limit, which is named by its key in the section ``chat``."""
        ...

    def ended(self, session: S_contra) -> None: ...


class OutputTransport(Protocol):
    """The part of ``asyncio.Transport`` that messages go through."""

    def write(self, data: bytes) -> None: ...

    def get_write_buffer_size(self) -> int: ...


class WebSocketChannel(Protocol):
    """The WebSocket of a session."""

    @property
    def transport(self) -> OutputTransport: ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame and end the connection."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class PacketReceiver(Protocol):
    """The layer above: what is sent in Engine.IO messages."""

    def text(self, data: str) -> None:
        """Raises: WireError."""
        ...

    def binary(self, data: bytes) -> None:
        """Raises: WireError."""
        ...

    def drained(self) -> None:
        """A slow client has caught up."""
        ...

    def closed(self, reason: CloseReason) -> None: ...


class _NoReceiver:
    """Takes what comes before the receiver is there and after the session ended: nothing."""

    def text(self, data: str) -> None:
        """Take nothing."""

    def binary(self, data: bytes) -> None:
        """Take nothing."""

    def drained(self) -> None:
        """Do nothing."""

    def closed(self, reason: CloseReason) -> None:
        """Do nothing."""


NO_RECEIVER: PacketReceiver = _NoReceiver()
