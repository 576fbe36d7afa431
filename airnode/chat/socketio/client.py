"""The Socket.IO side of one connection: its namespaces, and its packets in order to the application."""

import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.session import EngineSession
from airnode.chat.engineio.wire_errors import LimitError, WireError
from airnode.chat.socketio.application import Application, ConnectRefused
from airnode.chat.socketio.packets import PacketKind, SocketPacket, decode, encode, fill_in
from airnode.chat.socketio.socket import Socket
from airnode.errors import AirnodeError

log = structlog.get_logger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class SocketClient:
    """One connection. It is the :class:`PacketReceiver` of its session.

    Args:
        namespaces: names of the namespaces that there are.
        spawn: starts a task that handles packets; it ends when none is left, so an idle client has none.
        dropped: called for each message that was dropped because the client is slow.
    """

    __slots__ = (
        "_application",
        "_attachments",
        "_backlog",
        "_backlog_bytes",
        "_dropped",
        "_is_working",
        "_namespaces",
        "_partial",
        "_sockets",
        "_spawn",
        "address",
        "cookies",
        "session",
    )

    def __init__(
        self,
        session: EngineSession,
        *,
        application: Application,
        namespaces: frozenset[str],
        address: str,
        cookies: Mapping[str, str],
        spawn: Spawn,
        dropped: Callable[[EngineSession], None],
    ) -> None:
        self.session = session
        self.address = address
        self.cookies = cookies
        self._application = application
        self._namespaces = namespaces
        self._spawn = spawn
        self._dropped = dropped
        #: {namespace: its socket}, of admitted sockets.
        self._sockets: dict[str, Socket] = {}
        #: Packets that wait for the application, each with its size; None: none does.
        self._backlog: deque[tuple[SocketPacket, int]] | None = None
        self._backlog_bytes = 0
        self._is_working = False
        #: A binary packet and those of its attachments that have come.
        self._partial: SocketPacket | None = None
        self._attachments: list[bytes] = []

    # -- packets of the client -------------------------------------------------------------------------------------

    def text(self, data: str) -> None:
        """Take a text message."""
        if self._partial is not None:
            raise WireError("text where an attachment is missing")
        packet = decode(data, max_attachments=self.session.limits.max_attachments)
        if packet.missing:
            self._partial = packet
        else:
            self._take(packet, len(data))

    def binary(self, data: bytes) -> None:
        """Take a binary message, which is the next attachment."""
        packet = self._partial
        if packet is None:
            raise WireError("an attachment of no packet")
        self._attachments.append(data)
        size = sum(map(len, self._attachments))
        if size > self.session.limits.max_payload_bytes:
            raise LimitError("max_payload_bytes", "attachments that are too large together")
        if len(self._attachments) == packet.missing:
            attachments, self._attachments, self._partial = self._attachments, [], None
            fill_in(packet, attachments)
            self._take(packet, size)

    def _take(self, packet: SocketPacket, size: int) -> None:
        if packet.kind is PacketKind.ACK:
            self._acknowledged(packet)
            return
        backlog = self._backlog = self._backlog if self._backlog is not None else deque()
        backlog.append((packet, size))
        self._backlog_bytes += size
        limits = self.session.limits
        if len(backlog) >= limits.max_backlog or self._backlog_bytes > limits.max_payload_bytes:
            self.session.set_full(True)
        if not self._is_working:
            self._is_working = True
            self._spawn(self._work())

    def _acknowledged(self, packet: SocketPacket) -> None:
        socket = self._sockets.get(packet.namespace)
        if socket is not None and packet.ack_id is not None:
            socket.acknowledged(packet.ack_id, packet.data)
        elif not self._is_working:
            raise WireError("an acknowledgement in a namespace that the client is not in")

    async def _work(self) -> None:
        """Handle the packets that wait, one after another."""
        limits = self.session.limits
        try:
            while self._backlog and self.session.close_reason is None:
                packet, size = self._backlog.popleft()
                self._backlog_bytes -= size
                if len(self._backlog) <= limits.max_backlog // 2 and self._backlog_bytes <= limits.max_payload_bytes:
                    self.session.set_full(False)
                await self._handle(packet)
        finally:
            self._backlog, self._backlog_bytes, self._is_working = None, 0, False

    async def _handle(self, packet: SocketPacket) -> None:
        socket = self._sockets.get(packet.namespace)
        if packet.kind is PacketKind.CONNECT and socket is None:
            await self._connect(packet.namespace, packet.data)
        elif socket is None or packet.kind is PacketKind.CONNECT:
            self.session.close(CloseReason.PARSE_ERROR)
        elif packet.kind is PacketKind.DISCONNECT:
            self.leave(socket, CloseReason.CLIENT_LEFT)
        else:
            await self._event(socket, packet)

    # -- entering and leaving a namespace --------------------------------------------------------------------------

    async def _connect(self, namespace: str, auth: object) -> None:
        if namespace not in self._namespaces:
            self._refuse(namespace, {"message": "Invalid namespace"})
            return
        socket = Socket(secrets.token_urlsafe(15), namespace, self)
        try:
            answer = await self._application.connect(socket, auth)
        except ConnectRefused as refusal:
            data = {} if refusal.data is None else {"data": dict(refusal.data)}
            self._refuse(namespace, {"message": refusal.message, **data})
            return
        except AirnodeError as error:
            self._refuse(namespace, {"message": error.detail or error.title, "data": error_fields(error)})
            return
        except Exception as error:
            incident = secrets.token_hex(6)
            log.error("chat_connect_failed", incident=incident, exc_info=error)
            self._refuse(namespace, {"message": AirnodeError.title, "data": _unexpected(incident)})
            return
        if self.session.close_reason is not None:
            socket.gone()
            self._application.disconnected(socket, self.session.close_reason)
            return
        self._sockets[namespace] = socket
        self.session.admit()
        self.session.send(encode(PacketKind.CONNECT, namespace, {"sid": socket.sid, **answer}))
        for packet in socket.admitted():
            self.session.send(packet)

    def _refuse(self, namespace: str, data: Mapping[str, object]) -> None:
        self.session.send(encode(PacketKind.CONNECT_ERROR, namespace, data))

    def leave(self, socket: Socket, reason: CloseReason) -> None:
        """End a socket. A connection without one is closed: the protocol keeps it only for another namespace."""
        if self._sockets.get(socket.namespace) is not socket:
            return
        del self._sockets[socket.namespace]
        if reason is CloseReason.SERVER_LEFT:
            self.session.send(encode(PacketKind.DISCONNECT, socket.namespace))
        socket.gone()
        self._application.disconnected(socket, reason)
        if not self._sockets:
            self.session.close(CloseReason.FORCED_CLOSE if reason is CloseReason.SERVER_LEFT else reason)

    # -- events ----------------------------------------------------------------------------------------------------

    async def _event(self, socket: Socket, packet: SocketPacket) -> None:
        name, *args = packet.data
        answer: list[object] | None
        error: dict[str, object] | None = None
        try:
            answer = await self._application.event(socket, name, args)
        except AirnodeError as refusal:
            answer, error = None, error_fields(refusal)
        except Exception as bug:
            incident = secrets.token_hex(6)
            log.error("chat_event_failed", incident=incident, chat_event=name[:40], exc_info=bug)
            answer, error = None, _unexpected(incident)
        if not socket.is_connected:
            return
        if packet.ack_id is not None:
            data = [{"ok": False, "error": error}] if error is not None else answer or []
            self.session.send(encode(PacketKind.ACK, socket.namespace, data, packet.ack_id))
        elif error is not None:
            self.session.send(encode(PacketKind.EVENT, socket.namespace, ["error", error]))

    # -- the session -----------------------------------------------------------------------------------------------

    def deliver(self, packet: EncodedPacket) -> bool:
        """Send a packet unless the client is slow."""
        if self.session.deliver(packet):
            return True
        self._dropped(self.session)
        return False

    def drained(self) -> None:
        """Tell the application that the client has caught up."""
        for socket in list(self._sockets.values()):
            self._application.drained(socket)

    def closed(self, reason: CloseReason) -> None:
        """The connection ended: so do all its sockets."""
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            socket.gone()
            self._application.disconnected(socket, reason)


def error_fields(error: AirnodeError) -> dict[str, object]:
    """Return an error as acks and ``error`` events show it: ``{code, title, detail, retry_after_s?, errors?, …}``."""
    fields: dict[str, object] = {"code": error.code, "title": error.title, "detail": error.detail or error.title}
    if error.retry_after_s is not None:
        fields["retry_after_s"] = round(error.retry_after_s, 3)
    if error.errors:
        fields["errors"] = [{"path": each.path, "message": each.message} for each in error.errors]
    return {**error.fields, **fields}


def _unexpected(incident: str) -> dict[str, object]:
    """Return what a client is told of a bug: where the log has it, and nothing of what happened."""
    detail = f"Something went wrong here; the log has more under {incident}."
    return error_fields(AirnodeError(detail, fields={"incident": incident}))
