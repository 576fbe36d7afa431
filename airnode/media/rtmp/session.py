"""The server's half of an RTMP connection, sans-IO: takes bytes and the time, returns events and bytes.

::

    handshake ──▶ connecting ──▶ ready ──publish──▶ publish requested ──accept──▶ publishing
                                   ▲                        │                         │
                                   │                      reject                 FCUnpublish,
                                   │                        ▼                    deleteStream
                                   │                      closed                      │
                                   └──────────────────────────────────────────────────┘

While a publish waits for the owner's answer, the bytes after it are not decoded: no media may pass before it.
"""

import enum
from collections.abc import Sequence
from typing import Final, Literal

from airnode.media.rtmp.amf_values import UNDEFINED, AmfValue
from airnode.media.rtmp.answers import Answers
from airnode.media.rtmp.chunks import ChunkDecoder, Message, TimestampUnwrapper
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    MessageSkipped,
    PublishRequested,
    PublishStopped,
    VideoReceived,
)
from airnode.media.rtmp.handshake import ServerHandshake
from airnode.media.rtmp.messages import (
    ACK_WINDOW_BYTES,
    AGGREGATE,
    AUDIO,
    COMMAND_AMF0,
    COMMAND_AMF3,
    DATA_AMF0,
    DATA_AMF3,
    PING_REQUEST,
    USER_CONTROL,
    VIDEO,
    WINDOW_ACK_SIZE,
    ping_response,
    read_values,
    split_aggregate,
    status_info,
    stream_begin,
)
from airnode.media.rtmp.read_coalescer import ReadCoalescer
from airnode.media.rtmp.session_limits import (
    MAX_PREAMBLE_BYTES,
    MAX_PREAMBLE_MESSAGES,
    SessionLimits,
    before_publishing,
)
from airnode.media.rtmp.stream_names import read_stream_name

#: Status codes: OBS knows the first two as errors, the third ends a running publish. FFmpeg shows any error's text.
CONNECT_REJECTED: Final = "NetConnection.Connect.Rejected"
PUBLISH_REJECTED: Final = "NetStream.Publish.Rejected"
PUBLISH_FAILED: Final = "NetStream.Publish.Failed"


class SessionState(enum.StrEnum):
    """The state of a session; the module's docstring has the diagram."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    READY = "ready"
    PUBLISH_REQUESTED = "publish_requested"
    PUBLISHING = "publishing"
    CLOSED = "closed"


class ServerSession:
    """One connection. After a :class:`ProtocolViolation` or a reject it is closed: send what :meth:`data_to_send`
    returns, then close the transport.

    Args:
        now_s: the time in seconds, on the same monotonic clock that later calls use.
    """

    def __init__(self, limits: SessionLimits, now_s: float) -> None:
        self._limits = limits
        self.state = SessionState.HANDSHAKE
        self._handshake = ServerHandshake()
        self._decoder = ChunkDecoder(before_publishing(limits.chunks))
        self._answers = Answers()
        self._app = ""
        self._tc_url = ""
        #: Ids of the streams that createStream made and deleteStream did not remove.
        self._stream_ids: set[int] = set()
        self._next_stream_id = 1
        #: 0 until the first publish is requested.
        self._publish_id = 0
        self._preamble_messages = 0
        self._timestamps = TimestampUnwrapper()
        self._coalescer = ReadCoalescer(self._decoder)
        self.received_bytes = 0
        self._acknowledged_bytes = 0
        self._ack_window_bytes = ACK_WINDOW_BYTES
        self._state_since_s = now_s
        self._last_receive_s = now_s

    # --- time

    def deadline(self) -> tuple[float, str] | None:
        """Return the (time on the caller's clock, reason) at which to call :meth:`expire`; None: never."""
        if self.state is SessionState.HANDSHAKE:
            return self._state_since_s + self._limits.handshake_timeout_s, "handshake_timeout"
        if self.state in (SessionState.CONNECTING, SessionState.READY):
            return self._state_since_s + self._limits.publish_timeout_s, "publish_timeout"
        if self.state is SessionState.PUBLISHING:
            return self._last_receive_s + self._limits.idle_timeout_s, "idle_timeout"
        return None

    def expire(self, now_s: float) -> None:
        """Close the session if its deadline has passed.

        Raises:
            ProtocolViolation: ``handshake_timeout``, ``publish_timeout`` or ``idle_timeout``.
        """
        deadline = self.deadline()
        if deadline is not None and now_s >= deadline[0]:
            violation = ProtocolViolation(deadline[1], self._slowness(deadline[1]))
            self._fail(violation)
            raise violation

    def _slowness(self, reason: str) -> str:
        if reason == "idle_timeout":
            return f"nothing came from the encoder for {self._limits.idle_timeout_s:g} s"
        if reason == "publish_timeout":
            return f"nothing was published within {self._limits.publish_timeout_s:g} s"
        return f"the handshake took longer than {self._limits.handshake_timeout_s:g} s"

    # --- bytes

    def postpone(self, data: bytes, now_s: float, *, audio: bool = True) -> bool:
        """Keep a read for the next :meth:`receive` (see ``read_coalescer.py``). Return False if it was not kept.

        Args:
            audio: whether audio may wait.
        """
        if self.state is not SessionState.PUBLISHING or not self._coalescer.postpone(data, audio=audio):
            return False
        self._last_receive_s = now_s
        self.received_bytes += len(data)
        return True

    def receive(self, data: bytes, now_s: float) -> list[Event]:
        """Return the events of new bytes and of the postponed ones.

        After :meth:`accept_publish` call it with ``b""`` to decode the bytes after the publish command.

        Raises:
            ProtocolViolation: the peer broke the protocol or a limit.
        """
        if self.state is SessionState.CLOSED:
            return []
        is_flood = self._publish_id == 0 and self.received_bytes > MAX_PREAMBLE_BYTES
        if data:
            self._last_receive_s = now_s
            self.received_bytes += len(data)
        data = self._coalescer.take(data)
        events: list[Event] = []
        try:
            if is_flood:
                raise ProtocolViolation("flood", "too many bytes came without a publish")
            if self.state is SessionState.HANDSHAKE:
                data = self._shake_hands(data, now_s)
            self._read(data, events, now_s)
        except ProtocolViolation as violation:
            self._fail(violation)
            raise
        self._acknowledge()
        return events

    def data_to_send(self) -> bytes:
        """Return the bytes for the peer and forget them."""
        return self._answers.take()

    def _shake_hands(self, data: bytes, now_s: float) -> bytes:
        rest = self._handshake.receive(data)
        self._answers.raw(self._handshake.data_to_send())
        if self._handshake.done:
            self.state = SessionState.CONNECTING
            self._state_since_s = now_s
        return rest

    def _read(self, data: bytes, events: list[Event], now_s: float) -> None:
        decoder = self._decoder
        if data:
            decoder.feed(data)
        while self.state is not SessionState.PUBLISH_REQUESTED and (message := decoder.next_message()) is not None:
            self._handle(message, events, now_s)
        if decoder.skipped:
            events += (MessageSkipped(reason, detail) for reason, detail in decoder.skipped)
            decoder.skipped.clear()
        # Only an owner that passes more bytes while a publish waits for its answer can exceed this.
        if decoder.buffered_bytes > self._limits.chunks.max_buffered_bytes + (1 << 20):
            raise ProtocolViolation("buffered_bytes", "too much came while the stream key was checked")

    def _acknowledge(self) -> None:
        if self.received_bytes - self._acknowledged_bytes >= self._ack_window_bytes:
            self._acknowledged_bytes = self.received_bytes
            self._answers.acknowledge(self.received_bytes)

    # --- the owner's answers

    def accept_publish(self) -> None:
        """Let the peer publish.

        Raises:
            RuntimeError: no publish is requested.
        """
        self._require_publish_requested()
        self.state = SessionState.PUBLISHING
        self._timestamps = TimestampUnwrapper()
        self._decoder.limits = self._limits.chunks
        self._answers.user_control(stream_begin(self._publish_id))
        self._send_status("status", "NetStream.Publish.Start", "Publishing")

    def reject_publish(self, code: str, description: str) -> None:
        """Refuse the requested publish; the session is closed then.

        Raises:
            RuntimeError: no publish is requested.
        """
        self._require_publish_requested()
        self._close_with_status(code, description)

    def abort_publish(self, code: str, description: str) -> None:
        """Close the session in any state; a peer that publishes or could publish receives the status."""
        if self.state in (SessionState.READY, SessionState.PUBLISH_REQUESTED, SessionState.PUBLISHING):
            self._close_with_status(code, description)
        self.state = SessionState.CLOSED

    def _require_publish_requested(self) -> None:
        if self.state is not SessionState.PUBLISH_REQUESTED:
            raise RuntimeError(f"no publish is requested (the session is {self.state})")

    def _fail(self, violation: ProtocolViolation) -> None:
        """Close the session. The peer gets a status with the reason, if it can read one."""
        detail = violation.detail
        description = f"{detail[:1].upper()}{detail[1:]}."
        if self.state is SessionState.CONNECTING:
            self._close_with_status(CONNECT_REJECTED, description)
        else:
            code = PUBLISH_FAILED if self.state is SessionState.PUBLISHING else PUBLISH_REJECTED
            self.abort_publish(code, description)

    def _close_with_status(self, code: str, description: str) -> None:
        self._send_status("error", code, description)
        self.state = SessionState.CLOSED

    # --- messages

    def _handle(self, message: Message, events: list[Event], now_s: float) -> None:
        type_id = message.type_id
        if self._publish_id == 0:
            self._preamble_messages += 1
            if self._preamble_messages > MAX_PREAMBLE_MESSAGES:
                raise ProtocolViolation("flood", "too many messages came without a publish")
        if type_id in (AUDIO, VIDEO, DATA_AMF0, DATA_AMF3, AGGREGATE):
            self._handle_media(message, events)
        elif type_id in (COMMAND_AMF0, COMMAND_AMF3):
            self._handle_command(message, events, now_s)
        elif type_id == WINDOW_ACK_SIZE:
            # 0 and a number that is cut short are ignored.
            self._ack_window_bytes = int.from_bytes(message.payload[:4], "big") or self._ack_window_bytes
        elif type_id == USER_CONTROL and message.payload[:2] == PING_REQUEST.to_bytes(2, "big"):
            self._answers.user_control(ping_response(message.payload[2:6]))
        # Acknowledgements, bandwidth, shared objects and undefined types need no answer.

    def _handle_media(self, message: Message, events: list[Event]) -> None:
        # Some encoders send media on message stream 0, or begin its chunk stream without a stream id.
        if self.state is not SessionState.PUBLISHING or message.stream_id not in (self._publish_id, 0):
            # Before any publish this is a violation; after one, the peer may have sent it before the publish ended.
            if self._publish_id == 0 and message.type_id not in (DATA_AMF0, DATA_AMF3):
                raise ProtocolViolation("media_before_publish", "media came before a publish")
            return
        if message.type_id != AGGREGATE:
            self._media_event(message, events)
            return
        try:
            for part in split_aggregate(message):
                self._media_event(part, events)
        except ProtocolViolation as violation:
            events.append(MessageSkipped(violation.reason, violation.detail))

    def _media_event(self, message: Message, events: list[Event]) -> None:
        if message.type_id == VIDEO:
            self._coalescer.video_received()
            events.append(VideoReceived(self._timestamps.unwrap(message.timestamp_ms), message.payload))
        elif message.type_id == AUDIO:
            events.append(AudioReceived(self._timestamps.unwrap(message.timestamp_ms), message.payload))
        elif message.type_id in (DATA_AMF0, DATA_AMF3):
            values = self._values(message, events)
            if values and values[0] == "@setDataFrame":
                del values[0]
            # The event has no timestamp: metadata has 0 even if the media begins at another time.
            if values:
                events.append(DataReceived(values))

    def _values(self, message: Message, events: list[Event]) -> list[AmfValue]:
        """Return the values that can be read. Append an event if a value cannot be read."""
        values, error = read_values(message, self._limits.max_amf_depth, self._limits.max_amf_items)
        if error is not None:
            if self.state is SessionState.CONNECTING and not (values and isinstance(values[0], str)):
                raise error
            events.append(MessageSkipped(error.reason, error.detail))
        return values

    # --- commands

    def _handle_command(self, message: Message, events: list[Event], now_s: float) -> None:
        values = self._values(message, events)
        name = values[0] if values else None
        transaction = values[1] if len(values) > 1 and isinstance(values[1], float) else 0.0
        if not isinstance(name, str):
            if self.state is SessionState.CONNECTING:
                raise ProtocolViolation("command", "a command has no name")
            events.append(MessageSkipped("command", "a command has no name"))
            return
        arguments = values[2:]
        if name == "connect":
            self._connect(transaction, arguments, now_s)
        elif self.state is SessionState.CONNECTING:
            raise ProtocolViolation("command_order", "a command came before connect")
        elif name == "createStream":
            self._create_stream(transaction)
        elif name == "publish":
            self._publish(message.stream_id, arguments, events)
        elif name in ("FCUnpublish", "closeStream", "deleteStream"):
            self._stop(name, message.stream_id, arguments, events, now_s)
        elif name in ("play", "play2"):
            self._answers.status(
                "error", "NetStream.Play.Failed", "Only publishing is possible here.", message.stream_id
            )
        elif name == "FCPublish":
            self._answers.command("onFCPublish", 0.0, None, status_info("status", "NetStream.Publish.Start", ""))
        elif transaction and name in ("releaseStream", "getStreamLength", "_checkbw"):
            self._answers.command("_result", transaction, None, UNDEFINED)
        # Other commands need no answer: FFmpeg ends on an _error that it does not expect.

    def _connect(self, transaction: float, arguments: Sequence[AmfValue], now_s: float) -> None:
        if self.state is not SessionState.CONNECTING:
            raise ProtocolViolation("command_order", "a second connect came")
        options = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        app, tc_url = options.get("app"), options.get("tcUrl")
        self._app = app if isinstance(app, str) else ""
        self._tc_url = tc_url if isinstance(tc_url, str) else ""
        self._answers.connected(transaction, options)
        self.state = SessionState.READY
        self._state_since_s = now_s

    def _create_stream(self, transaction: float) -> None:
        if len(self._stream_ids) >= self._limits.max_streams:
            raise ProtocolViolation("streams", f"more than {self._limits.max_streams} streams in one connection")
        stream_id = self._next_stream_id
        self._next_stream_id += 1
        self._stream_ids.add(stream_id)
        self._answers.command("_result", transaction, None, float(stream_id))

    def _publish(self, stream_id: int, arguments: Sequence[AmfValue], events: list[Event]) -> None:
        name = arguments[1] if len(arguments) > 1 else ""
        if not isinstance(name, str):
            raise ProtocolViolation("command", "publish came without a stream name")
        if stream_id == 0 and self._stream_ids:  # some encoders send it on stream 0
            stream_id = max(self._stream_ids)
        if stream_id not in self._stream_ids:
            raise ProtocolViolation("command_order", "publish came without createStream")
        if self.state is not SessionState.READY:
            raise ProtocolViolation("command_order", "a second publish came in one connection")
        self.state = SessionState.PUBLISH_REQUESTED
        self._publish_id = stream_id
        read = read_stream_name(self._app, self._tc_url, name)
        events.append(PublishRequested(read.app, read.name, read.params, stream_id, read.key))

    def _stop(
        self, command: str, stream_id: int, arguments: Sequence[AmfValue], events: list[Event], now_s: float
    ) -> None:
        if command == "deleteStream":
            argument = arguments[1] if len(arguments) > 1 else 0.0
            stream_id = int(argument) if isinstance(argument, float) and 0 <= argument <= 0xFFFFFFFF else 0
            self._stream_ids.discard(stream_id)
        elif command == "FCUnpublish":  # sent on stream 0; it contains the stream's name, not its id
            stream_id = self._publish_id
            self._answers.command("onFCUnpublish", 0.0, None, status_info("status", "NetStream.Unpublish.Success", ""))
        if self.state is SessionState.PUBLISHING and stream_id == self._publish_id:
            self._send_status("status", "NetStream.Unpublish.Success", "Publishing ended")
            self.state = SessionState.READY
            self._state_since_s = now_s
            events.append(PublishStopped(stream_id, command))

    def _send_status(self, level: Literal["status", "error"], code: str, description: str) -> None:
        self._answers.status(level, code, description, self._publish_id)
