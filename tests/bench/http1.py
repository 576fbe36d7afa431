"""A cheap HTTP/1.1 client connection: keep-alive, one request at a time; bodies are counted, and kept on request."""

import asyncio
from typing import NamedTuple, cast


class Answer(NamedTuple):
    """An answer. ``body`` is empty unless it was requested; ``size`` is always the size of the body in bytes."""

    status: int
    size: int
    body: bytes


class HttpConnection(asyncio.Protocol):
    """One connection; open it with :meth:`open`. It needs Content-Length in every answer, as airnode and nginx send."""

    def __init__(self, host: str) -> None:
        self._tail = f" HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._keep = False
        self._head = b""
        self._status = self._size = self._left = 0
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
        if self._left == 0:
            data = self._read_head(data)
            if not self._status:
                return
        self._left -= len(data)
        if self._keep:
            self._body.append(data)
        if self._left <= 0:
            self._answer()

    def _read_head(self, data: bytes) -> bytes:
        """Return the bytes after the head; the status stays 0 until the head is complete."""
        self._status = 0
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self._head[:end].lower(), self._head[end + 4 :]
        self._head = b""
        self._status = int(head[9:12])
        at = head.index(b"content-length:") + 15
        self._size = self._left = int(head[at:].split(b"\r\n", 1)[0])
        return rest

    def _answer(self) -> None:
        body, self._body, self._left = b"".join(self._body), [], 0
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(self._status, self._size, body))
