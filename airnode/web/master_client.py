"""Requests to a master: one request with a credential, or repeated requests until it answers."""

import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import msgspec
import structlog

from airnode.errors import StartupError, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.connection_errors import connection_failure

log = structlog.get_logger(__name__)

A = TypeVar("A", bound=msgspec.Struct)
T = TypeVar("T")

_TIMEOUT_S = 3.0
_FIRST_PAUSE_S = 0.2
_LAST_PAUSE_S = 1.0


class CredentialRefused(Exception):
    """The master refuses the credential, or it takes no nodes of this kind."""


class MasterConnection:
    """Sends requests to a master.

    Args:
        url: its address. token: the credential.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    async def post(self, path: str, body: msgspec.Struct, kind: type[A]) -> A:
        """Return the answer. Raises Unavailable (not now), CredentialRefused (never with this credential)."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url + path, data=msgspec.json.encode(body), headers=headers) as response,
            ):
                text = await response.read()
                status = response.status
        except (aiohttp.ClientError, ssl.SSLError, OSError, TimeoutError) as error:
            raise Unavailable(connection_failure(self.url, error, "master"), debug=repr(error)) from error
        return _decoded(status, text, kind)


async def retry_until_answered(url: str, ask: Callable[[], Awaitable[T]]) -> T:
    """Return the first answer of the master at ``url``. Calls are repeated without end, and failures are logged.

    Raises:
        StartupError: it refuses the credential.
    """
    backoff, logged = Backoff(_FIRST_PAUSE_S, _LAST_PAUSE_S), ""
    while True:
        try:
            return await ask()
        except CredentialRefused as error:
            raise StartupError(f"The master {url} refuses this node: {error}") from None
        except Unavailable as error:
            if str(error) != logged:
                logged = str(error)
                log.warning("master_not_reached", master_url=url, error=logged, detail="trying on")
        await backoff.pause()


def _decoded(status: int, text: bytes, kind: type[A]) -> A:
    if status in (401, 403):
        raise CredentialRefused(_detail(text))
    if status != 200:
        raise Unavailable(f"it answers {status}: {_detail(text)}")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise Unavailable(f"it does not answer as an airnode master does: {error}") from None


def _detail(text: bytes) -> str:
    """Return the detail of a problem document."""
    try:
        return str(msgspec.json.decode(text)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "it is no airnode master" if b"<" in text[:200] else text[:200].decode(errors="replace")
