"""A cheap HTTP/1.1 client connection: keep-alive, one request at a time; bodies are counted, and kept on request."""

import asyncio
from typing import NamedTuple, cast


class Answer(NamedTuple):
    """An answer. ``body`` is empty unless it was requested; ``size`` is always the size of the body in bytes.

    ``location``: the target of a redirect; empty: it is none.
    """

    status: int
    size: int
    body: bytes
    location: str = ""


class HttpConnection(asyncio.Protocol):
    """One connection; open it with :meth:`open`. Bodies have Content-Length or chunks (RFC 9112 section 7.1)."""

    def __init__(self, host: str) -> None:
        self._tail = f" HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._keep = False
        self._head = b""
        self._status = self._size = 0
        self._location = ""
        #: Bytes that are missing of the body, or with chunks of the current one and its line end.
        self._left = 0
        self._chunked = False
        self._body: list[bytes] = []

    @classmethod
    async def open(cls, host: str, port: int) -> "HttpConnection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(f"{host}:{port}"), host, port)
        return connection

    def get(self, path: str, *, keep: bool = False) -> "asyncio.Future[Answer]":
        """Send a request and return its future; it fails with ConnectionError if the server closes the connection."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._keep = keep
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(b"GET " + path.encode() + self._tail)
        return self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        if not self._status:
            data = self._read_head(data)
            if not self._status:
                return
        if self._chunked:
            self._read_chunks(data)
            return
        self._left -= len(data)
        if self._keep:
            self._body.append(data)
        if self._left <= 0:
            self._answer()

    def _read_head(self, data: bytes) -> bytes:
        """Return the bytes after the head; the status stays 0 until the head is complete."""
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self._head[: end + 2], self._head[end + 4 :]
        self._head = b""
        self._status, self._size, self._left = int(head[9:12]), 0, 0
        self._location = _header(head, b"location").decode()
        self._chunked = _header(head, b"transfer-encoding") == b"chunked"
        if not self._chunked:
            self._size = self._left = int(_header(head, b"content-length"))
        return rest

    def _read_chunks(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        while data:
            if self._left > 2:
                piece = data[: self._left - 2]
                self._size += len(piece)
                self._left -= len(piece)
                data = data[len(piece) :]
                if self._keep:
                    self._body.append(piece)
                continue
            end = data.find(b"\r\n", self._left)
            if end < 0:
                self._head = data
                return
            length, data, self._left = int(data[self._left : end], 16), data[end + 2 :], 0
            if length == 0:
                # Without trailers only the last line end is missing; no more bytes come before the next request.
                self._answer()
                return
            self._left = length + 2

    def _answer(self) -> None:
        body, self._body = b"".join(self._body), []
        status, self._status, self._left = self._status, 0, 0
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(status, self._size, body, self._location))


def _header(head: bytes, name: bytes) -> bytes:
    """Return the value of a header; empty: it is not there."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    return head[at + len(name) + 3 : head.index(b"\r\n", at + 2)].strip()
