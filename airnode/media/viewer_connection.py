"""HTTP connections of players, for the requests that they repeat many times a second.

A low-latency player asks for a playlist and a part for each part, and waits for both. aiohttp costs a task switch, a
route, middlewares and several objects for each of them. Here a request is one pattern match, a waiting request is one
callback in the room's :class:`~airnode.media.hls.blocking_reload.Waiters`, and an answer is one write of bytes that all
viewers share.

Only requests with nothing unusual are answered here: whole in one read, ``GET`` of HTTP/1.1, no body, a valid token, a
room that can be watched. At the first other one (``live.mp4``, refused tokens, broken requests, a head in two reads)
aiohttp takes over the connection, for good: :meth:`ViewerConnection._hand_over`.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import formatdate
from functools import partial
from typing import cast

import structlog

from airnode.errors import AirnodeError
from airnode.media.room.watchable import WatchableRoom
from airnode.media.viewer_answers import ANSWER_HEADERS, Answer, Directives, ViewerAnswers
from airnode.web.apps import cors_headers
from airnode.web.problems import problem_response

log = structlog.get_logger(__name__)

_REQUEST = re.compile(
    rb"GET /v/([A-Za-z0-9._-]{1,4096})/([A-Za-z0-9._-]{1,128})/([A-Za-z0-9._-]{1,128})"
    rb"(?:\?_HLS_msn=([0-9]{1,15})(?:&_HLS_part=([0-9]{1,15}))?(?:&_HLS_skip=(YES|v2))?)? HTTP/1\.1\r\n"
)
_ENTRY = re.compile(
    rb"GET /live/([A-Za-z0-9._-]{1,128})/([A-Za-z0-9._-]{1,128})\?jwt=([A-Za-z0-9._-]{1,4096}) HTTP/1\.1\r\n"
)
#: The blanks before a value belong to the second group: two that could take them would try every way to share them.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\x80-\xff\t]*)")
_END = b"\r\n\r\n"
#: Headers that change how a request is read or answered: aiohttp knows what to do with them.
_UNUSUAL = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"))
_MAX_HEAD_BYTES = 8 << 10
_MAX_EARLY_BYTES = 16 << 10
_SWEEP_S = 15.0
#: Bodies below this are copied behind their head: cheaper than a second buffer.
_JOINED_BYTES = 8 << 10
_LIVE = "live.mp4"
_PLAIN = Directives()


class ViewerConnections:
    """The connections of one port.

    Args:
        allowed_origins: ``http.allowed_origins``.
        idle_s: a connection without a request for this long is closed.
    """

    def __init__(self, answers: ViewerAnswers, allowed_origins: Sequence[str], idle_s: float = 75.0) -> None:
        self.answers = answers
        self._allowed_origins = allowed_origins
        self._idle_s = idle_s
        self._open: set[ViewerConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._date = b""
        self._date_s = 0

    def __len__(self) -> int:
        return len(self._open)

    def connection(self, other: Callable[[], asyncio.Protocol]) -> "ViewerConnection":
        """Return the protocol of a new connection; ``other`` makes the one that takes over unusual requests."""
        return ViewerConnection(self, other)

    async def stop(self) -> None:
        """Close the connections. Those with a request that waits get their answer first: the rooms have woken them."""
        for connection in tuple(self._open):
            connection.stop()

    def opened(self, connection: "ViewerConnection") -> None:
        self._open.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def closed(self, connection: "ViewerConnection") -> None:
        self._open.discard(connection)

    def heads(self, origin: str | None) -> dict[str, bytes]:
        """Return {kind of an answer: the unchanging beginning of its head} for a page from ``origin``."""
        always = self._always(origin)
        return {kind: _head(200, "OK", {**headers, **always}) for kind, headers in ANSWER_HEADERS.items()}

    def _always(self, origin: str | None) -> dict[str, str]:
        return {**cors_headers(self._allowed_origins, origin), "X-Content-Type-Options": "nosniff"}

    def redirect(self, location: str, origin: str | None) -> bytes:
        """Return a whole response that redirects (302)."""
        headers = {"Location": location, "Cache-Control": "no-store", **self._always(origin)}
        return _head(302, "Found", headers) + self.head_end(0)

    def problem(self, error: AirnodeError, origin: str | None) -> bytes:
        """Return an error as a whole response."""
        instance = secrets.token_hex(6)
        log.debug("request_refused", instance=instance, route="/v/{token}/{room}/{name}", code=error.code)
        response = problem_response(error, instance)
        head = _head(response.status, response.reason, {**response.headers, **self._always(origin)})
        body = cast("bytes", response.body)
        return b"%b%b%b" % (head, self.head_end(len(body)), body)

    def head_end(self, size_bytes: int) -> bytes:
        """Return the end of a head: the body's length, and the date."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s, self._date = now_s, formatdate(now_s, usegmt=True).encode()
        return b"Content-Length: %d\r\nDate: %b\r\n\r\n" % (size_bytes, self._date)

    def _sweep(self) -> None:
        """Close idle connections, and those whose player takes nothing any more."""
        self._timer = None
        loop = asyncio.get_running_loop()
        for connection in tuple(self._open):
            connection.close_if_idle(loop.time() - self._idle_s)
        if self._open:
            self._timer = loop.call_later(_SWEEP_S, self._sweep)


class ViewerConnection(asyncio.Protocol):
    """One connection. It handles one request at a time; bytes that come before its answer wait, bounded."""

    def __init__(self, port: ViewerConnections, other: Callable[[], asyncio.Protocol]) -> None:
        self._port = port
        self._answers = port.answers
        self._other = other
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._loop = asyncio.get_running_loop()
        #: The request that waits for its room to change.
        self._waits = False
        self._full = False
        self._stopping = False
        self._early = b""
        self._active_s = 0.0
        self._unsent_bytes = 0
        #: The headers of the last request, and what they mean: a player sends the same ones each time.
        self._headers = b""
        self._origin: str | None = None
        self._heads: Mapping[str, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._active_s = self._loop.time()
        self._port.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.closed(self)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    def eof_received(self) -> None:
        """Let the transport close: a client that has shut down its side does not play."""

    def data_received(self, data: bytes) -> None:
        if self._waits or self._full or self._early:
            self._early += data
            if len(self._early) > _MAX_EARLY_BYTES:
                self._transport.abort()
            return
        self._request(data)

    def stop(self) -> None:
        self._stopping = True
        if not self._waits:
            self._transport.close()

    def close_if_idle(self, since_s: float) -> None:
        unsent_bytes, before = self._transport.get_write_buffer_size(), self._unsent_bytes
        self._unsent_bytes = unsent_bytes
        if self._waits or self._active_s > since_s:
            return
        if unsent_bytes == 0:
            self._transport.close()
        elif unsent_bytes == before:
            self._transport.abort()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _request(self, data: bytes) -> None:
        match = _REQUEST.match(data) or _ENTRY.match(data)
        end = data.find(_END)
        if match is None or end < 0 or end > _MAX_HEAD_BYTES or not self._usual(data[match.end() : end]):
            self._hand_over(data)
            return
        if match.re is _ENTRY:
            self._redirect(match, data, end)
            return
        token, room_name, target, msn, part, skip = match.groups()
        name, text = target.decode(), token.decode()
        room = self._enter(text, room_name.decode(), name)
        if room is None or (msn is not None and name != room.window.media_uri):
            self._hand_over(data)
            return
        self._early = data[end + 4 :]
        directives = _PLAIN
        if msn is not None:
            directives = Directives(int(msn), int(part) if part is not None else None, skip is not None)
        self._serve(room, name, directives, text)
        if self._early and not self._waits and not self._full:
            self._loop.call_soon(self._go_on)

    def _redirect(self, match: re.Match[bytes], data: bytes, end: int) -> None:
        """Lead a URL with ``?jwt=`` to the form with the token in the path."""
        room, name, token = (group.decode() for group in match.groups())
        try:
            self._answers.known(token, room)
        except AirnodeError:
            self._hand_over(data)
            return
        self._active_s = self._loop.time()
        self._transport.write(self._port.redirect(f"/v/{token}/{room}/{name}", self._origin))
        self._early = data[end + 4 :]
        if self._early:
            self._loop.call_soon(self._go_on)

    def _usual(self, headers: bytes) -> bool:
        """Return whether nothing in the headers needs aiohttp, and prepare the heads of answers."""
        if headers == self._headers and self._heads:
            return True
        origin = None
        for line in headers.split(b"\r\n") if headers else ():
            header = _HEADER.fullmatch(line)
            if header is None:
                return False
            name, value = header[1].lower(), header[2].strip()
            if name in _UNUSUAL or (name == b"connection" and value.lower() != b"keep-alive"):
                return False
            if name == b"origin":
                origin = value.decode("latin-1")
        self._headers, self._origin, self._heads = headers, origin, self._port.heads(origin)
        return True

    def _enter(self, token: str, room_name: str, name: str) -> WatchableRoom | None:
        """Return the room of a valid request, and count its viewer; None: aiohttp shall refuse it."""
        if name == _LIVE:
            return None
        try:
            claims = self._answers.known(token, room_name)
            room = self._answers.room(room_name)
            self._active_s = self._loop.time()
            self._answers.note(room, name, claims, self._active_s)
        except AirnodeError:
            return None
        room.note_request("window")
        return room

    def _serve(
        self, room: WatchableRoom, name: str, directives: Directives, token: str, until_s: float | None = None
    ) -> None:
        """Answer now, or when the room has changed."""
        try:
            answer = self._answers.attempt(room, name, directives)
            if answer is None:
                self._answers.require_changing(room)
        except AirnodeError as error:
            self._refuse(error)
            return
        if answer is not None:
            self._send(answer)
            return
        self._waits = True
        if until_s is None:
            until_s = self._active_s + self._answers.longest_wait_s(room)
        room.waiters.add(until_s, partial(self._woken, room, name, directives, token, until_s))

    def _woken(
        self, room: WatchableRoom, name: str, directives: Directives, token: str, until_s: float, changed: bool
    ) -> None:
        self._waits = False
        if self._transport.is_closing():
            return
        try:
            if changed:
                # The token may have expired, and the student may have been removed since.
                self._answers.known(token, room.name)
                self._serve(room, name, directives, token, until_s)
            else:
                self._refuse(self._answers.timed_out())
        except AirnodeError as error:
            self._refuse(error)
        except Exception:
            log.exception("viewer_answer_failed", room=room.name)
            self._transport.abort()
        if self._waits:
            return
        if self._stopping:
            self._transport.close()
        elif self._early:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read the request that came before the last answer was sent."""
        if self._early and not self._waits and not self._full and not self._transport.is_closing():
            early, self._early = self._early, b""
            self._request(early)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _send(self, answer: Answer) -> None:
        body = answer.body
        size_bytes = sum(map(len, body))
        head = self._heads[answer.kind] + self._port.head_end(size_bytes)
        if size_bytes < _JOINED_BYTES:
            self._transport.write(b"".join((head, *body)))
        else:
            self._transport.writelines((head, *body))

    def _refuse(self, error: AirnodeError) -> None:
        self._transport.write(self._port.problem(error, self._origin))

    def _hand_over(self, data: bytes) -> None:
        """Let the other protocol have the connection, with ``data`` as its first bytes."""
        self._port.closed(self)
        other = self._other()
        self._transport.set_protocol(other)
        other.connection_made(self._transport)
        other.data_received(data)


def _head(status: int, reason: str, headers: Iterable[tuple[str, str]] | Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}\r\n"]
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines += [f"{name}: {value}\r\n" for name, value in pairs if name not in ("Content-Length", "Date")]
    return "".join(lines).encode("latin-1")
