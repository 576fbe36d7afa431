"""What stands above the protocol: it decides who may connect, and answers events."""

from collections.abc import Mapping
from typing import Protocol

from airnode.chat.socketio.socket import Socket


class ConnectRefused(Exception):
    """A client may not enter a namespace; it gets a CONNECT_ERROR packet.

    Args:
        message: one sentence for people; the client's ``error.message``.
        data: more for programs, the client's ``error.data``.
    """

    def __init__(self, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Application(Protocol):
    """Handles the sockets of one process. Events of one client are handled in order, one at a time."""

    async def connect(self, socket: Socket, auth: object) -> Mapping[str, object]:
        """Admit a socket, and return what its CONNECT answer says besides the sid.

        What it emits before it returns is sent after the answer.

        Raises:
            ConnectRefused: it may not enter. An AirnodeError refuses too, with its code in ``data``.
        """
        ...

    async def event(self, socket: Socket, name: str, args: list[object]) -> list[object] | None:
        """Handle an event, and return the arguments of its ack, which is sent only if the client asked for one.

        Raises:
            AirnodeError: becomes the ack ``{ok: false, error: {…}}``; without an ack, an ``error`` event.
        """
        ...

    def drained(self, socket: Socket) -> None:
        """A slow client, for which messages were dropped, has caught up."""
        ...

    def disconnected(self, socket: Socket, reason: str) -> None:
        """A socket left. Called once for each socket whose ``connect`` returned."""
        ...
