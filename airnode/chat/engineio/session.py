"""One client's Engine.IO session, without sockets and clocks: packets in, packets out, over either transport."""

import math
from collections.abc import Callable

from airnode.chat.engineio.channels import (
    CLOSE_CODES,
    NO_RECEIVER,
    CloseReason,
    OutputTransport,
    PacketReceiver,
    SessionOwner,
    WebSocketChannel,
)
from airnode.chat.engineio.encoded import CLOSE_RECORD, NOOP_RECORD, PING, PONG_PROBE, EncodedPacket
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.engineio.packets import SEPARATOR, EnginePacket, PacketType, decode_packet, decode_record
from airnode.chat.engineio.websocket_frames import CloseCode
from airnode.chat.engineio.wire_errors import LimitError, WireError


class EngineSession:
    """The state of one session.

    ::

        polling ──(2probe, 5 on a WebSocket)──▶ websocket        either ──▶ closed, once
    """

    __slots__ = (
        "_candidate",
        "_channel",
        "_is_probed",
        "_output",
        "_polling",
        "_pong_by_s",
        "_posting",
        "_queue",
        "_queued_bytes",
        "_wake",
        "_wake_post",
        "close_reason",
        "connect_by_s",
        "is_full",
        "limits",
        "network",
        "owner",
        "ping_at_s",
        "receiver",
        "sid",
        "slow_since_s",
    )

    def __init__(
        self, sid: str, limits: ChatLimits, now_s: float, owner: SessionOwner["EngineSession"], network: str = ""
    ) -> None:
        self.sid = sid
        self.limits = limits
        self.receiver: PacketReceiver = NO_RECEIVER
        self.close_reason: CloseReason | None = None
        #: Loop time by which the client must be in a namespace; infinite once it is.
        self.connect_by_s = now_s + limits.connect_timeout_s
        self.ping_at_s = now_s + limits.ping_interval_s
        #: Infinite: no ping is unanswered.
        self._pong_by_s = math.inf
        self.owner = owner
        self.network = network  # that the client is counted with; empty: with none
        #: The WebSocket in use, and what messages to everyone are written to; None while polling.
        self._channel: WebSocketChannel | None = None
        self._output: OutputTransport | None = None
        #: A WebSocket that wants to replace polling; the probe was answered.
        self._candidate: WebSocketChannel | None = None
        self._is_probed = False
        #: Packets for the next poll.
        self._queue: list[EncodedPacket] = []
        self._queued_bytes = 0
        #: Whether a poll (a GET) and a POST are open, and what ends the poll's wait; None: it does not wait.
        self._polling = self._posting = False
        self._wake: Callable[[], None] | None = None
        self._wake_post: Callable[[], None] | None = None
        #: Loop time of the first message that was dropped since it was not slow; None: it is not slow.
        self.slow_since_s: float | None = None
        #: Whether it is not read at the moment, because its packets wait for the application.
        self.is_full = False

    @property
    def is_admitted(self) -> bool:
        """Return whether the client is, or was, in a namespace."""
        return self.connect_by_s == math.inf

    @property
    def max_message_bytes(self) -> int:
        """Return the size of the largest message that the client may send now; strangers may cost little memory."""
        most = self.limits.max_payload_bytes
        return most if self.is_admitted else min(most, self.limits.max_greeting_bytes)

    def too_large(self) -> LimitError:
        """Count a message that is too large, and return the error."""
        key = "max_payload_bytes" if self.is_admitted else "max_greeting_bytes"
        self.owner.reached(key)
        return LimitError(key, f"a message above {self.max_message_bytes} bytes")

    # -- out -------------------------------------------------------------------------------------------------------

    def unsent_bytes(self) -> int:
        """Return the bytes that the client has not taken yet, without those in the kernel."""
        return self._queued_bytes if self._output is None else self._output.get_write_buffer_size()

    def deliver(self, packet: EncodedPacket) -> bool:
        """Send a packet unless the client is slow; return whether it was sent."""
        output = self._output
        if output is None:
            if self.close_reason is not None or self._queued_bytes > self.limits.slow_client_bytes:
                return False
            self._enqueue(packet)
            return True
        if output.get_write_buffer_size() > self.limits.slow_client_bytes:
            return False
        output.write(packet.frames)
        return True

    def send(self, packet: EncodedPacket) -> None:
        """Send a packet that must not be dropped (an ack, a ping); a client that takes nothing is cut."""
        if self.close_reason is not None:
            return
        if self.unsent_bytes() > self.limits.cut_bytes:
            self.cut()
        elif self._output is not None:
            self._output.write(packet.frames)
        else:
            self._enqueue(packet)

    def cut(self) -> None:
        """End a client that has too much unsent."""
        self.owner.reached("cut_bytes")
        self.close(CloseReason.SLOW_CLIENT, f"more than {self.limits.cut_bytes} bytes unsent (chat.cut_bytes)")

    def _enqueue(self, packet: EncodedPacket) -> None:
        self._queue.append(packet)
        self._queued_bytes += len(packet.frames)
        self._end_wait()

    def _end_wait(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    # -- long-polling ----------------------------------------------------------------------------------------------

    def begin_poll(self, wake: Callable[[], None]) -> bool:
        """Open a poll; return whether its answer is ready, else ``wake`` is called once it is.

        Raises:
            WireError: another poll is open (then the session is closed), or the client does not poll any more.
        """
        if self._polling:
            self.close(CloseReason.TRANSPORT_ERROR)
            raise WireError("a second poll while one is open")
        if self._channel is not None:
            raise WireError("a poll of a session that has a WebSocket")
        self._polling = True
        if self._queue or self._is_probed:
            return True
        self._wake = wake
        return False

    def end_poll(self) -> bytes:
        """Return the answer of the open poll: the packets that wait, then a close packet if the session ended here."""
        self._polling = False
        records = [packet.record for packet in self._queue]
        self._queue, self._queued_bytes = [], 0
        if self.close_reason not in (None, CloseReason.TRANSPORT_CLOSE):
            records.append(CLOSE_RECORD)
        return SEPARATOR.encode().join(records or [NOOP_RECORD])

    def abandon_poll(self) -> None:
        """The client closed the connection of its poll; what was sent on it may be lost."""
        self._polling = False
        self._wake = None
        if self._channel is None:
            self.close(CloseReason.TRANSPORT_ERROR)

    def begin_post(self) -> None:
        """Open a POST.

        Raises:
            WireError: another one is open (then the session is closed), or the client has a WebSocket.
        """
        if self._posting:
            self.close(CloseReason.TRANSPORT_ERROR)
            raise WireError("a second POST while one is open")
        if self._channel is not None:
            raise WireError("a POST of a session that has a WebSocket")
        self._posting = True

    def end_post(self) -> None:
        """The POST was answered."""
        self._posting = False

    def receive_record(self, record: str, now_s: float) -> None:
        """Take one record of a POST's payload.

        Raises:
            WireError: it is malformed; the session is closed.
        """
        try:
            self._receive(decode_record(record), now_s)
        except WireError:
            self.close(CloseReason.PARSE_ERROR)
            raise

    def begin_wait(self, wake: Callable[[], None]) -> bool:
        """Call ``wake`` once the client may be read again, or the session ended; return whether it may be now."""
        if not self.is_full or self.close_reason is not None:
            return True
        self._wake_post = wake
        return False

    def _end_post_wait(self) -> None:
        wake, self._wake_post = self._wake_post, None
        if wake is not None:
            wake()

    # -- WebSocket -------------------------------------------------------------------------------------------------

    def attach(self, channel: WebSocketChannel) -> None:
        """The session began on this WebSocket."""
        self._channel, self._output = channel, channel.transport

    def receive_text(self, channel: WebSocketChannel, text: str, now_s: float) -> None:
        """Take a text frame."""
        try:
            packet = decode_packet(text)
            if channel is self._channel:
                self._receive(packet, now_s)
            else:
                self._receive_from_candidate(channel, packet)
        except WireError as error:
            if channel is self._channel:
                self.broken(error)
            else:
                self.drop_candidate(channel)

    def receive_binary(self, channel: WebSocketChannel, data: bytes) -> None:
        """Take a binary frame, which is a message."""
        if channel is not self._channel:
            self.drop_candidate(channel)
            return
        try:
            if self.close_reason is None:
                self.receiver.binary(data)
        except WireError as error:
            self.broken(error)

    def broken(self, error: WireError) -> None:
        """End a client that broke a protocol, or a limit of it."""
        if isinstance(error, LimitError):
            self.owner.reached(error.limit)
        self.close(CloseReason.PARSE_ERROR, str(error) if isinstance(error, LimitError) else "")

    def channel_lost(self, channel: WebSocketChannel, reason: CloseReason) -> None:
        """A WebSocket ended, from the other side or by an error."""
        if channel is self._channel:
            self._channel = self._output = None
            self.close(reason)
        elif channel is self._candidate:
            self._candidate, self._is_probed = None, False

    # -- upgrade ---------------------------------------------------------------------------------------------------

    def can_upgrade(self) -> bool:
        """Return whether a WebSocket may now ask to replace polling."""
        return self.close_reason is None and self._channel is None and self._candidate is None

    def begin_upgrade(self, channel: WebSocketChannel) -> None:
        """A WebSocket with this session's sid opened."""
        self._candidate = channel

    def _receive_from_candidate(self, channel: WebSocketChannel, packet: EnginePacket) -> None:
        if channel is not self._candidate:
            return
        if packet.kind is PacketType.PING and packet.data == "probe":
            channel.transport.write(PONG_PROBE.frames)
            self._is_probed = True
            self._end_wait()  # with a noop, so that the client can pause polling
        elif packet.kind is PacketType.UPGRADE and self._is_probed:
            self._switch_to(channel)
        else:
            raise WireError("neither a probe nor an upgrade")

    def _switch_to(self, channel: WebSocketChannel) -> None:
        self._candidate, self._is_probed = None, False
        self.attach(channel)
        waiting, self._queue, self._queued_bytes = self._queue, [], 0
        for packet in waiting:
            channel.transport.write(packet.frames)
        self._end_wait()
        if self.is_full:
            channel.pause()

    def drop_candidate(self, channel: WebSocketChannel) -> None:
        """End an upgrade that failed or takes too long; polling goes on."""
        if channel is self._candidate:
            self._candidate, self._is_probed = None, False
            channel.close(CloseCode.PROTOCOL_ERROR, "no upgrade")

    # -- in --------------------------------------------------------------------------------------------------------

    def _receive(self, packet: EnginePacket, now_s: float) -> None:
        if self.close_reason is not None:
            return
        if packet.kind is PacketType.MESSAGE:
            if isinstance(packet.data, bytes):
                self.receiver.binary(packet.data)
            else:
                self.receiver.text(packet.data)
        elif packet.kind is PacketType.PONG:
            self._pong_by_s = math.inf
            self.ping_at_s = now_s + self.limits.ping_interval_s
        elif packet.kind is PacketType.CLOSE:
            self.close(CloseReason.TRANSPORT_CLOSE)
        elif packet.kind is not PacketType.NOOP:
            raise WireError("a packet that only servers send, or out of turn")

    def admit(self) -> None:
        """The client is in a namespace: it may stay."""
        if not self.is_admitted:
            self.connect_by_s = math.inf
            self.owner.admitted(self)

    def set_full(self, is_full: bool) -> None:
        """Stop or go on reading the client."""
        if is_full == self.is_full:
            return
        self.is_full = is_full
        if is_full:
            self.owner.reached("max_backlog")
        else:
            self._end_post_wait()
        if self._channel is not None:
            (self._channel.pause if is_full else self._channel.resume)()

    def may_read(self, channel: WebSocketChannel) -> bool:
        """Return whether a WebSocket may be read now; one that only wants to replace polling always may."""
        return not self.is_full or channel is not self._channel

    # -- times -----------------------------------------------------------------------------------------------------

    def due(self, now_s: float) -> float | None:
        """Ping the client, or close a session that is too late; return the next deadline."""
        if self.close_reason is not None:
            return None
        if now_s >= self._pong_by_s:
            self.close(CloseReason.PING_TIMEOUT)
            return None
        if now_s >= self.connect_by_s:
            self.close(CloseReason.CONNECT_TIMEOUT)
            return None
        if now_s >= self.ping_at_s:
            self._pong_by_s = self.ping_at_s + self.limits.ping_timeout_s
            self.ping_at_s = math.inf
            self.send(PING)
        # A pong moves the next ping; look again not later than the earliest one could be.
        soonest_ping_s = min(self.ping_at_s, now_s + self.limits.ping_interval_s)
        return min(soonest_ping_s, self._pong_by_s, self.connect_by_s)

    def check_speed(self, now_s: float) -> bool:
        """Cut a client that has been slow too long; return whether it is still slow."""
        if self.close_reason is not None or self.slow_since_s is None:
            return False
        if self.unsent_bytes() <= self.limits.slow_client_bytes:
            self.slow_since_s = None
            self.receiver.drained()
            return False
        if now_s - self.slow_since_s > self.limits.cut_after_s:
            self.owner.reached("cut_after_s")
            self.close(CloseReason.SLOW_CLIENT, f"slow for {self.limits.cut_after_s:g} s (chat.cut_after_s)")
            return False
        return True

    def close(self, reason: CloseReason, text: str = "") -> None:
        """End the session on every transport; only the first call counts.

        Args:
            text: for people, in the WebSocket's close frame.
        """
        if self.close_reason is not None:
            return
        self.close_reason = reason
        channel, candidate = self._channel, self._candidate
        self._channel = self._output = self._candidate = None
        self._end_wait()
        self._end_post_wait()
        if channel is not None:
            channel.close(CLOSE_CODES.get(reason, CloseCode.NORMAL), text or reason)
        if candidate is not None:
            candidate.close(CloseCode.NORMAL, reason)
        receiver, self.receiver = self.receiver, NO_RECEIVER
        receiver.closed(reason)
        self.owner.ended(self)
