"""The asyncio side of a WebSocket. It takes the connection over from aiohttp, which keeps nothing of it."""

import asyncio
import base64
import hashlib
from typing import Any, cast

from aiohttp import hdrs, web

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.session import EngineSession
from airnode.chat.engineio.websocket_frames import (
    CloseCode,
    FrameError,
    FrameParser,
    Opcode,
    WebSocketMessage,
    close_answer,
    close_frame,
    server_frame,
)

_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: Longest wait for the peer's close frame.
CLOSE_WAIT_S = 2.0


#: An Engine.IO pong, as text and as a client's frame: head, mask, one character.
_PONG_TEXT, _PONG_FRAME_BYTES = "3", 7


def _is_pong(data: bytes) -> bool:
    return data[0] == data[1] == 0x81 and data[2] ^ data[6] == 0x33


def is_upgrade(request: web.Request) -> bool:
    """Return whether a request asks for a WebSocket as RFC 6455 section 4.2.1 says."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        and "upgrade" in headers.get(hdrs.CONNECTION, "").lower()
        and headers.get(hdrs.SEC_WEBSOCKET_VERSION) == "13"
        and _has_key(headers.get(hdrs.SEC_WEBSOCKET_KEY, ""))
    )


def _has_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False


def accept_response(request: web.Request) -> bytes:
    """Return the answer that opens the WebSocket (RFC 6455 section 4.2.2)."""
    key = request.headers[hdrs.SEC_WEBSOCKET_KEY].strip().encode()
    accept = base64.b64encode(hashlib.sha1(key + _KEY_SUFFIX).digest()).decode()  # noqa: S324 - as the RFC says
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


class _Tail:
    """Stands in for a parser of aiohttp's, to get what the client sent right after its request."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep the bytes."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing."""


def take_over(request: web.Request, protocol: asyncio.Protocol, answer: bytes) -> bytes:
    """Hand the request's connection to ``protocol``, after writing ``answer``; the handler must then call :func:`end`.

    aiohttp's objects for a connection take some 10 KB, and a task that waits for the handler. Returns what the client
    sent right after its request.

    Raises:
        ConnectionResetError: the connection is closed.
    """
    transport, handler = request.transport, request.protocol
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client closed the connection")
    tail: Any = _Tail()
    handler.set_parser(tail)
    transport.write(answer)
    transport.set_protocol(protocol)
    handler.transport = None
    protocol.connection_made(transport)
    data: bytes = tail.data
    return data


async def end(request: web.Request) -> web.StreamResponse:
    """End aiohttp's handling of a request whose connection was taken over. Never returns."""
    request.protocol.connection_lost(None)
    request.task.cancel()
    await asyncio.sleep(0)
    raise ConnectionResetError("the connection was taken over")


class WebSocketLink(asyncio.Protocol):
    """One WebSocket of one session: frames in, messages to the session."""

    __slots__ = ("_is_broken", "_is_closing", "_is_paused", "_loop", "_parser", "session", "transport")

    transport: asyncio.Transport

    def __init__(self, session: EngineSession, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self._loop = loop
        self._parser = FrameParser(session.max_message_bytes)
        self._is_closing = False
        self._is_paused = False
        #: Whether the client's bytes make no sense any more.
        self._is_broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection was taken over."""
        # uvloop's transports are no subclass of asyncio.Transport.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Handle the messages that end in ``data``."""
        if len(data) == _PONG_FRAME_BYTES and self._parser.is_empty and _is_pong(data) and not self._is_closing:
            # Most of what idle clients send: taken apart here, it costs a fifth.
            self.session.receive_text(self, _PONG_TEXT, self._loop.time())
            return
        if self._is_closing and not self._is_paused:
            self._read_close(data)
            return
        self._parser.push(data)
        self._read()

    def _read(self) -> None:
        self._parser.max_bytes = self.session.max_message_bytes
        try:
            for _ in range(self.session.limits.frames_per_turn):
                if self._is_paused or self._is_closing:
                    return
                message = self._parser.next()
                if message is None:
                    return
                self._handle(message)
        except FrameError as error:
            self._is_broken = True
            problem = self.session.too_large() if error.code is CloseCode.TOO_LARGE else error
            self.close(error.code, str(problem))
            self.session.channel_lost(self, CloseReason.PARSE_ERROR)
            return
        if not self._is_paused and not self._is_closing:
            # A read may bring 40,000 pings.
            self.session.owner.reached("frames_per_turn")
            self.pause()
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Go on reading after others had their turn, unless the session is full: it resumes this link then."""
        if not self._is_closing and self.session.may_read(self):
            self.resume()

    def _handle(self, message: WebSocketMessage) -> None:
        if message.opcode is Opcode.TEXT:
            self.session.receive_text(self, message.text, self._loop.time())
        elif message.opcode is Opcode.BINARY:
            self.session.receive_binary(self, message.data)
        elif message.opcode is Opcode.PING:
            self._pong(message.data)
        elif message.opcode is Opcode.CLOSE:
            self.transport.write(close_answer(message.data))
            self._is_closing = True
            self.transport.close()
            self.session.channel_lost(self, CloseReason.TRANSPORT_CLOSE)

    def _pong(self, data: bytes) -> None:
        if self.transport.get_write_buffer_size() > self.session.limits.cut_bytes:
            self.session.cut()
        else:
            self.transport.write(server_frame(Opcode.PONG, data))

    def _read_close(self, data: bytes) -> None:
        """After our close frame only the peer's matters; it answers, or the time is over."""
        if self._is_broken:
            return
        try:
            self._parser.push(data)
            for _ in range(self.session.limits.frames_per_turn):
                message = self._parser.next()
                if message is None:
                    return
                if message.opcode is Opcode.CLOSE:
                    self.transport.close()
                    return
        except FrameError:
            pass
        self._is_broken = True  # or its answer is behind too many other frames

    def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame; the connection ends when the peer has answered, or after CLOSE_WAIT_S."""
        if self._is_closing:
            return
        self._is_closing = True
        transport = self.transport
        if transport.get_write_buffer_size() > self.session.limits.cut_bytes:
            transport.abort()
            return
        transport.write(close_frame(code, reason))
        if self._is_broken and transport.can_write_eof():
            transport.write_eof()  # the peer's answer would not be understood
        if self._is_paused:
            self._is_paused = False
            transport.resume_reading()
        self._loop.call_later(CLOSE_WAIT_S, transport.abort)

    def pause(self) -> None:
        """Stop reading."""
        if not self._is_paused and not self._is_closing:
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Go on reading, with what was already received."""
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
            self._loop.call_soon(self._read)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection ended."""
        self._is_closing = True
        reason = CloseReason.TRANSPORT_CLOSE if exc is None else CloseReason.TRANSPORT_ERROR
        self.session.channel_lost(self, reason)
