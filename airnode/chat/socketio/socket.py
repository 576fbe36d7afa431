"""One client in one namespace, as the application sees it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.session import EngineSession
from airnode.chat.socketio.packets import PacketKind, encode, encode_event
from airnode.errors import Unavailable

_MAX_UNANSWERED = 100


class SocketOwner(Protocol):
    """The connection of a socket."""

    session: EngineSession
    address: str
    cookies: Mapping[str, str]

    def deliver(self, packet: EncodedPacket) -> bool: ...

    def leave(self, socket: "Socket", reason: CloseReason) -> None: ...


class Socket:
    """One client in one namespace.

    Attributes:
        sid: names this socket; it is not the sid of the connection, which no other client may learn.
        state: belongs to the application.
    """

    __slots__ = ("_acks", "_last_ack_id", "_owner", "_waiting", "is_connected", "namespace", "sid", "state")

    def __init__(self, sid: str, namespace: str, owner: SocketOwner) -> None:
        self.sid = sid
        self.namespace = namespace
        self.state: Any = None
        self.is_connected = False
        self._owner = owner
        #: Packets that were emitted before the CONNECT answer; None: it was sent.
        self._waiting: list[EncodedPacket] | None = []
        #: {id: its answer}, of events that the client has not acknowledged; None: there was none yet.
        self._acks: dict[int, asyncio.Future[list[object]]] | None = None
        self._last_ack_id = 0

    @property
    def address(self) -> str:
        """Return the client's IP address."""
        return self._owner.address

    @property
    def cookies(self) -> Mapping[str, str]:
        """Return the cookies of the request that opened the connection."""
        return self._owner.cookies

    @property
    def is_slow(self) -> bool:
        """Return whether messages were dropped for it and it has not caught up."""
        return self._owner.session.slow_since_s is not None

    def deliver(self, packet: EncodedPacket) -> bool:
        """Send a packet of this namespace; return False if it was dropped: the client is slow, or gone."""
        if self._waiting is not None:
            self._waiting.append(packet)
            return True
        return self.is_connected and self._owner.deliver(packet)

    def emit(self, name: str, *args: object) -> bool:
        """Encode and deliver an event."""
        return self.deliver(encode_event(self.namespace, name, args))

    async def emit_with_ack(self, name: str, *args: object, timeout_s: float) -> list[object]:
        """Emit an event, and return the arguments of the client's acknowledgement.

        Raises:
            Unavailable: the client is slow, left, or has many events to acknowledge.
            TimeoutError: it did not acknowledge in time.
        """
        acks = self._acks = self._acks if self._acks is not None else {}
        if len(acks) >= _MAX_UNANSWERED:
            raise Unavailable("The client does not acknowledge.")
        self._last_ack_id = ack_id = self._last_ack_id + 1
        answer: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        acks[ack_id] = answer
        try:
            if not self.deliver(encode(PacketKind.EVENT, self.namespace, [name, *args], ack_id)):
                raise Unavailable("The client is slow or gone.")
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            acks.pop(ack_id, None)

    def disconnect(self) -> None:
        """Send the client out of this namespace."""
        self._owner.leave(self, CloseReason.SERVER_LEFT)

    def close(self, reason: str = "") -> None:
        """End the client's connection, with all its namespaces."""
        self._owner.session.close(CloseReason.FORCED_CLOSE, reason)

    # -- for the connection ----------------------------------------------------------------------------------------

    def admitted(self) -> list[EncodedPacket]:
        """The CONNECT answer was sent; return what was emitted before it."""
        waiting, self._waiting, self.is_connected = self._waiting or [], None, True
        return waiting

    def acknowledged(self, ack_id: int, args: list[object]) -> None:
        """The client acknowledged an event; an id that nobody waits for is ignored."""
        answer = (self._acks or {}).get(ack_id)
        if answer is not None and not answer.done():
            answer.set_result(args)

    def gone(self) -> None:
        """The client left: nothing is sent, and nobody waits for its acknowledgements any more."""
        self.is_connected, self._waiting = False, None
        for answer in (self._acks or {}).values():
            if not answer.done():
                answer.set_exception(Unavailable("The client is gone."))
