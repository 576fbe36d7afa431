"""The server's half of an RTMP connection, sans-IO: bytes and the time in, events and bytes out.

::

    handshake ──▶ connecting ──▶ ready ──publish──▶ asked ──accept──▶ publishing
                                   ▲                  │                   │
                                   │                reject           FCUnpublish,
                                   │                  ▼              deleteStream
                                   │                closed                │
                                   └──────────────────────────────────────┘

While a publish is asked for, nothing behind it is read: no media before the owner's answer.
"""

import enum
from dataclasses import dataclass, field, replace
from typing import Final

from airnode.media.rtmp import amf0, replies
from airnode.media.rtmp.aggregate import split_aggregate
from airnode.media.rtmp.amf0 import AmfInput, AmfValue
from airnode.media.rtmp.chunks import ChunkDecoder, ChunkEncoder, ChunkLimits, Message, TimestampLine
from airnode.media.rtmp.errors import ProtocolViolation
from airnode.media.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    PublishRequested,
    PublishStopped,
    VideoReceived,
)
from airnode.media.rtmp.handshake import ServerHandshake
from airnode.media.rtmp.names import split_name

# Message types (sections 5.4, 7.1).
ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_ACK_SIZE, SET_PEER_BANDWIDTH = 3, 4, 5, 6
AUDIO, VIDEO = 8, 9
DATA_AMF3, COMMAND_AMF3, DATA_AMF0, COMMAND_AMF0, AGGREGATE = 15, 17, 18, 20, 22
PING_REQUEST: Final = 6

_CONTROL_CSID, _COMMAND_CSID, _STATUS_CSID = 2, 3, 5
#: Commands fit in this; whoever has not published yet may not make us hold more.
_MAX_COMMAND_BYTES: Final = 64 << 10
#: What a peer may say before it asks to publish, all in all: encoders need 5 KiB and a dozen messages.
_MAX_PREAMBLE_BYTES: Final = 128 << 10
_MAX_PREAMBLE_MESSAGES: Final = 1000
#: Sound waits for the picture that it plays beside, but not if so many of its messages came since the last picture.
_MOST_SOUND: Final = 4
_MAX_POSTPONED_BYTES: Final = 4096


def _before_publishing(limits: ChunkLimits) -> ChunkLimits:
    return replace(
        limits,
        max_message_bytes=min(limits.max_message_bytes, _MAX_COMMAND_BYTES),
        max_buffered_bytes=min(limits.max_buffered_bytes, 4 * _MAX_COMMAND_BYTES),
    )


class SessionState(enum.StrEnum):
    """Where a session is; the diagram stands in the module's docstring."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    READY = "ready"
    ASKED = "asked"
    PUBLISHING = "publishing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one peer may ask of us; times in seconds."""

    chunks: ChunkLimits = field(default_factory=ChunkLimits)
    max_streams: int = 8
    max_amf_depth: int = 16
    max_amf_items: int = 1024
    handshake_timeout_s: float = 5.0
    publish_timeout_s: float = 10.0
    idle_timeout_s: float = 30.0


class ServerSession:
    """One connection. After :class:`ProtocolViolation` or a reject it is closed: flush what it has to send and hang up.

    Args:
        now_s: the time, on the same monotonic clock that later calls use.
    """

    def __init__(self, limits: SessionLimits, now_s: float) -> None:
        self._limits = limits
        self.state = SessionState.HANDSHAKE
        self._handshake = ServerHandshake()
        self._decoder = ChunkDecoder(_before_publishing(limits.chunks))
        self._encoder = ChunkEncoder()
        self._out = bytearray()
        self._app = ""
        self._tc_url = ""
        #: Ids of the streams that createStream made and deleteStream did not end.
        self._stream_ids: set[int] = set()
        self._next_stream_id = 1
        #: 0 until the first publish is asked for.
        self._publish_id = 0
        self._preamble_messages = 0
        self._line = TimestampLine()
        #: Messages of sound that are read with what comes next; how many of them came since the last picture.
        self._postponed: list[bytes] = []
        self._sounds = _MOST_SOUND
        #: ... and behind them, a header whose payload is still to come.
        self._begun = b""
        self.received_bytes = 0
        self._acknowledged_bytes = 0
        self._ack_window_bytes = replies.WINDOW_BYTES
        self._since_s = now_s
        self._last_receive_s = now_s

    # --- time

    def deadline(self) -> tuple[float, str] | None:
        """When (on the caller's clock) to call :meth:`expire`, and the reason it will give; None: never."""
        if self.state is SessionState.HANDSHAKE:
            return self._since_s + self._limits.handshake_timeout_s, "handshake_timeout"
        if self.state in (SessionState.CONNECTING, SessionState.READY):
            return self._since_s + self._limits.publish_timeout_s, "publish_timeout"
        if self.state is SessionState.PUBLISHING:
            return self._last_receive_s + self._limits.idle_timeout_s, "idle_timeout"
        return None

    def expire(self, now_s: float) -> None:
        """End the session if its deadline is over.

        Raises:
            ProtocolViolation: ``handshake_timeout``, ``publish_timeout`` or ``idle_timeout``.
        """
        deadline = self.deadline()
        if deadline is not None and now_s >= deadline[0]:
            self.state = SessionState.CLOSED
            raise ProtocolViolation(deadline[1], "the peer took too long")

    # --- bytes

    def postpone(self, data: bytes, now_s: float) -> bool:
        """Keep bytes for the next :meth:`receive` if nothing is lost by it; False: nothing was kept, receive them.

        More than half of a publisher's reads are of two kinds that are cheaper handled with the next one: a message of
        sound, which nobody hears before the next picture (kept only while pictures come), and a header alone, as ffmpeg
        writes it, whose payload follows at once.
        """
        if self.state is not SessionState.PUBLISHING or len(data) > _MAX_POSTPONED_BYTES:
            return False
        begun = self._begun + data if self._begun else data
        seen = self._decoder.peek(begun)
        if seen == (AUDIO, 0) and self._sounds < _MOST_SOUND:
            self._postponed.append(begun)
            self._begun = b""
            self._sounds += 1
        elif seen is not None and seen[0] in (AUDIO, VIDEO) and seen[1] > 0 and begun is data and len(data) <= 12:
            self._begun = data
        else:
            return False
        self._last_receive_s = now_s
        self.received_bytes += len(data)
        return True

    def receive(self, data: bytes, now_s: float) -> list[Event]:
        """Take bytes. After :meth:`accept_publish` call it with ``b""`` for what came behind the publish command.

        Raises:
            ProtocolViolation: the peer broke the protocol or a limit.
        """
        if self.state is SessionState.CLOSED:
            return []
        flooded = self._publish_id == 0 and self.received_bytes > _MAX_PREAMBLE_BYTES
        if data:
            self._last_receive_s = now_s
            self.received_bytes += len(data)
        if self._postponed or self._begun:
            data = b"".join((*self._postponed, self._begun, data))
            self._postponed.clear()
            self._begun = b""
        events: list[Event] = []
        try:
            if flooded:
                raise ProtocolViolation("flood", "too many bytes without a publish")
            if self.state is SessionState.HANDSHAKE:
                data = self._shake_hands(data, now_s)
            self._read(data, events, now_s)
        except ProtocolViolation:
            self.state = SessionState.CLOSED
            raise
        self._acknowledge()
        return events

    def data_to_send(self) -> bytes:
        """Bytes for the peer; asking takes them."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def _shake_hands(self, data: bytes, now_s: float) -> bytes:
        rest = self._handshake.receive(data)
        self._out += self._handshake.data_to_send()
        if self._handshake.done:
            self.state = SessionState.CONNECTING
            self._since_s = now_s
        return rest

    def _read(self, data: bytes, events: list[Event], now_s: float) -> None:
        decoder = self._decoder
        if data:
            decoder.feed(data)
        while self.state is not SessionState.ASKED and (message := decoder.next_message()) is not None:
            self._handle(message, events, now_s)
        # Only an owner that goes on feeding us without answering a publish gets here with much.
        if decoder.buffered_bytes > self._limits.chunks.max_buffered_bytes + (1 << 20):
            raise ProtocolViolation("buffered_bytes", "too much input while a publish was being decided")

    def _acknowledge(self) -> None:
        if self.received_bytes - self._acknowledged_bytes >= self._ack_window_bytes:
            self._acknowledged_bytes = self.received_bytes
            self._send_control(ACKNOWLEDGEMENT, (self.received_bytes & 0xFFFFFFFF).to_bytes(4, "big"))

    # --- the owner's answers

    def accept_publish(self) -> None:
        """Let the peer publish.

        Raises:
            RuntimeError: no publish is asked for.
        """
        self._require_asked()
        self.state = SessionState.PUBLISHING
        self._line = TimestampLine()
        self._decoder.limits = self._limits.chunks
        self._send_control(USER_CONTROL, replies.stream_begin(self._publish_id))
        self._send_status("status", "NetStream.Publish.Start", "Publishing")

    def reject_publish(self, code: str, description: str) -> None:
        """Refuse the publish that is asked for; the session is closed then.

        Raises:
            RuntimeError: no publish is asked for.
        """
        self._require_asked()
        self._end_with(code, description)

    def abort_publish(self, code: str, description: str) -> None:
        """Close the session, whatever it is doing; a peer that publishes or has asked to is told why."""
        if self.state in (SessionState.ASKED, SessionState.PUBLISHING):
            self._end_with(code, description)
        self.state = SessionState.CLOSED

    def _require_asked(self) -> None:
        if self.state is not SessionState.ASKED:
            raise RuntimeError(f"no publish is asked for (the session is {self.state})")

    def _end_with(self, code: str, description: str) -> None:
        self._send_status("error", code, description)
        self.state = SessionState.CLOSED

    # --- messages

    def _handle(self, message: Message, events: list[Event], now_s: float) -> None:
        kind = message.type_id
        if self._publish_id == 0:
            self._preamble_messages += 1
            if self._preamble_messages > _MAX_PREAMBLE_MESSAGES:
                raise ProtocolViolation("flood", "too many messages without a publish")
        if kind in (AUDIO, VIDEO, DATA_AMF0, DATA_AMF3, AGGREGATE):
            self._handle_media(message, events)
        elif kind in (COMMAND_AMF0, COMMAND_AMF3):
            self._handle_command(message, events, now_s)
        elif kind == WINDOW_ACK_SIZE:
            self._ack_window_bytes = max(int.from_bytes(message.payload[:4], "big"), 1)
        elif kind == USER_CONTROL and message.payload[:2] == PING_REQUEST.to_bytes(2, "big"):
            self._send_control(USER_CONTROL, replies.ping_response(message.payload[2:6]))
        # Acknowledgements, bandwidth, shared objects and types that nobody defined need no answer.

    def _handle_media(self, message: Message, events: list[Event]) -> None:
        if self.state is not SessionState.PUBLISHING or message.stream_id != self._publish_id:
            # Before a publish it is a violation; after one, the rest of what the peer had under way.
            if self._publish_id == 0:
                raise ProtocolViolation("media_before_publish", "media without a publish")
            return
        if message.type_id == AGGREGATE:
            for part in split_aggregate(message):
                self._media_event(part, events)
        else:
            self._media_event(message, events)

    def _media_event(self, message: Message, events: list[Event]) -> None:
        if message.type_id == VIDEO:
            self._sounds = 0
            events.append(VideoReceived(self._line.unwrap(message.timestamp), message.payload))
        elif message.type_id == AUDIO:
            events.append(AudioReceived(self._line.unwrap(message.timestamp), message.payload))
        elif message.type_id in (DATA_AMF0, DATA_AMF3):
            values = self._values(message)
            if values and values[0] == "@setDataFrame":
                del values[0]
            # Its time is none: metadata stands at 0 wherever the media begins.
            events.append(DataReceived(values))

    def _values(self, message: Message) -> list[AmfValue]:
        payload = message.payload
        # The AMF3 forms begin with a format byte, and hold AMF0 values as long as nobody agreed on AMF3.
        if message.type_id in (COMMAND_AMF3, DATA_AMF3) and payload[:1] == b"\x00":
            payload = payload[1:]
        return amf0.decode(payload, max_depth=self._limits.max_amf_depth, max_items=self._limits.max_amf_items)

    # --- commands

    def _handle_command(self, message: Message, events: list[Event], now_s: float) -> None:
        values = self._values(message)
        name = values[0] if values else None
        transaction = values[1] if len(values) > 1 else 0.0
        if not isinstance(name, str) or not isinstance(transaction, float):
            raise ProtocolViolation("command", "a command without a name or a transaction number")
        arguments = values[2:]
        if name == "connect":
            self._connect(transaction, arguments, now_s)
        elif self.state is SessionState.CONNECTING:
            raise ProtocolViolation("command_order", "a command before connect")
        elif name == "createStream":
            self._create_stream(transaction)
        elif name == "publish":
            self._publish(message.stream_id, arguments, events)
        elif name in ("FCUnpublish", "closeStream", "deleteStream"):
            self._stop(name, message.stream_id, arguments, events, now_s)
        elif name in ("play", "play2"):
            self._send_status("error", "NetStream.Play.Failed", "Only publishing is possible here", message.stream_id)
        elif name == "FCPublish":
            self._send_command("onFCPublish", 0.0, None, replies.info("status", "NetStream.Publish.Start", ""))
        elif transaction and name in ("releaseStream", "getStreamLength", "_checkbw"):
            self._send_command("_result", transaction, None, amf0.UNDEFINED)

    def _connect(self, transaction: float, arguments: list[AmfValue], now_s: float) -> None:
        if self.state is not SessionState.CONNECTING:
            raise ProtocolViolation("command_order", "a second connect")
        options = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        app, tc_url = options.get("app"), options.get("tcUrl")
        self._app = app if isinstance(app, str) else ""
        self._tc_url = tc_url if isinstance(tc_url, str) else ""
        self._send_control(WINDOW_ACK_SIZE, replies.WINDOW_BYTES.to_bytes(4, "big"))
        self._send_control(SET_PEER_BANDWIDTH, replies.WINDOW_BYTES.to_bytes(4, "big") + b"\x02")
        self._send_control(1, replies.CHUNK_SIZE.to_bytes(4, "big"))
        self._encoder.chunk_size = replies.CHUNK_SIZE
        self._send_command("_result", transaction, *replies.connect_result(options))
        self.state = SessionState.READY
        self._since_s = now_s

    def _create_stream(self, transaction: float) -> None:
        if len(self._stream_ids) >= self._limits.max_streams:
            raise ProtocolViolation("streams", f"more than {self._limits.max_streams} streams in one connection")
        stream_id = self._next_stream_id
        self._next_stream_id += 1
        self._stream_ids.add(stream_id)
        self._send_command("_result", transaction, None, float(stream_id))

    def _publish(self, stream_id: int, arguments: list[AmfValue], events: list[Event]) -> None:
        name = arguments[1] if len(arguments) > 1 else None
        if not isinstance(name, str):
            raise ProtocolViolation("command", "publish without a stream name")
        if stream_id not in self._stream_ids:
            raise ProtocolViolation("command_order", "publish without createStream")
        if self.state is not SessionState.READY:
            raise ProtocolViolation("command_order", "a second publish in one connection")
        self.state = SessionState.ASKED
        self._publish_id = stream_id
        app, name, params = split_name(self._app, self._tc_url, name)
        events.append(PublishRequested(app, name, params, stream_id))

    def _stop(self, command: str, stream_id: int, arguments: list[AmfValue], events: list[Event], now_s: float) -> None:
        if command == "deleteStream":
            named = arguments[1] if len(arguments) > 1 else 0.0
            stream_id = int(named) if isinstance(named, float) and 0 <= named <= 0xFFFFFFFF else 0
            self._stream_ids.discard(stream_id)
        elif command == "FCUnpublish":  # comes on the connection, and names the stream by its name
            stream_id = self._publish_id
            self._send_command("onFCUnpublish", 0.0, None, replies.info("status", "NetStream.Unpublish.Success", ""))
        if self.state is SessionState.PUBLISHING and stream_id == self._publish_id:
            self._send_status("status", "NetStream.Unpublish.Success", "Publishing ended")
            self.state = SessionState.READY
            self._since_s = now_s
            events.append(PublishStopped(stream_id, command))

    # --- sending

    def _send_control(self, type_id: int, payload: bytes) -> None:
        self._out += self._encoder.encode(_CONTROL_CSID, Message(type_id, 0, 0, payload))

    def _send_command(self, name: str, transaction: float, *arguments: AmfInput) -> None:
        payload = amf0.encode((name, transaction, *arguments))
        self._out += self._encoder.encode(_COMMAND_CSID, Message(COMMAND_AMF0, 0, 0, payload))

    def _send_status(self, level: str, code: str, description: str, stream_id: int | None = None) -> None:
        payload = amf0.encode(("onStatus", 0.0, None, replies.info(level, code, description)))
        on = self._publish_id if stream_id is None else stream_id
        self._out += self._encoder.encode(_STATUS_CSID, Message(COMMAND_AMF0, on, 0, payload))
