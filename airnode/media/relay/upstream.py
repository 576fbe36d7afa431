"""Fetches a room from its origin, or from an edge of the first tier, over HTTP with this node's credential."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from airnode.errors import AirnodeError, InvalidInput, NotFound, Unavailable
from airnode.media.relay.reachability import NodeReachability
from airnode.media.relay.tiers import EdgeNode, NoRelayPlace, UpstreamNode

#: Longest wait for a connection, and for an answer that the upstream node does not delay on purpose.
CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 5.0
#: The origin answers a blocked request within three target durations, and within 15 s at the start of a class.
BLOCKED_TIMEOUT_S = 20.0
#: After this long without data, a live response has lost its origin, or its publisher is silent.
_LIVE_SILENCE_S = 10.0
_MAX_PLAYLIST_BYTES = 4 << 20
_MAX_OBJECT_BYTES = 64 << 20
#: TCP keep-alive distinguishes a broken connection from a blocked request: both are silent.
_KEEPALIVE = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 4000}
_MAX_REFUSAL_BYTES = 1 << 20
#: A node token is renewed when it is this old.
_TOKEN_AGE_S = 60.0


class RelayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "airnode_media_relay_upstream_requests_total",
            "Requests to origins and to edges that stand for them",
            ["kind"],
            registry=registry,
        )
        self.failures = Counter(
            "airnode_media_relay_upstream_failures_total",
            "Of these, those that failed",
            ["kind"],
            registry=registry,
        )
        self.received = Counter("airnode_media_relay_received_bytes_total", "Media bytes from there", registry=registry)
        self.rooms = Gauge("airnode_media_relay_streams", "Rooms relayed from other nodes", registry=registry)
        self.unreachable = Gauge(
            "airnode_media_relay_cut_streams", "Rooms whose origin reports and does not answer here", registry=registry
        )
        self.moves = Counter(
            "airnode_media_relay_moves_total", "Times a relayed room got another origin", registry=registry
        )
        self.reroutes = Counter(
            "airnode_media_relay_reroutes_total",
            "Times a room was pulled from another node of the same origin",
            registry=registry,
        )
        self.window_bytes = Gauge(
            "airnode_media_relay_window_bytes", "Media of other nodes' rooms held in memory", registry=registry
        )
        self.evicted = Counter(
            "airnode_media_relay_evicted_total",
            "Parts and segments dropped for relay.room_max_bytes",
            registry=registry,
        )


class NodeToken:
    """This node's credential, renewed when it is `_TOKEN_AGE_S` old.

    Args:
        issue: returns a new signed token.
    """

    def __init__(self, issue: Callable[[], str]) -> None:
        self._issue = issue
        self._token = ""
        self._issued_s = 0.0

    def header(self) -> dict[str, str]:
        """Return the Authorization header; its token is renewed if it is too old."""
        now_s = time.monotonic()
        if not self._token or now_s - self._issued_s > _TOKEN_AGE_S:
            self._token, self._issued_s = self._issue(), now_s
        return {"Authorization": f"Bearer {self._token}"}


class _Refusal(msgspec.Struct):
    """The fields of a problem document (RFC 9457) with status 409."""

    code: str = ""
    detail: str = ""
    parents: list[EdgeNode] = []


class UpstreamClient:
    """Fetches one room from its upstream node.

    All methods raise NotFound when the node does not have the object, InvalidInput when it answers 400, NoRelayPlace
    when it has no place for this node, and Unavailable when it does not answer or is not ready.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        token: NodeToken,
        metrics: RelayMetrics,
        reachability: NodeReachability,
        room: str,
        upstream_node: UpstreamNode,
    ) -> None:
        self.upstream_node = upstream_node
        self._reachability = reachability
        self._session = session
        self._token = token
        self._metrics = metrics
        self._base = f"{upstream_node.base_url}/relay/{quote(room)}"

    async def playlist(self, name: str, query: Mapping[str, str], within_s: float = BLOCKED_TIMEOUT_S) -> bytes:
        """Return a playlist; the answer to a blocking reload may take ``within_s``."""
        return await self._get("playlist", name, query, min(within_s, BLOCKED_TIMEOUT_S), _MAX_PLAYLIST_BYTES)

    async def object(self, name: str) -> bytes:
        """Return a part, a segment or an initialization section; waits for a hinted part until it is finished."""
        body = await self._get("object", name, {}, BLOCKED_TIMEOUT_S, _MAX_OBJECT_BYTES)
        self._metrics.received.inc(len(body))
        return body

    async def live(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (Content-Type, data) of ``live.mp4`` until the response ends."""
        self._metrics.requests.labels("live").inc()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=_LIVE_SILENCE_S)
        received_s = time.monotonic()
        try:
            async with self._session.get(
                f"{self._base}/live.mp4", headers=self._token.header(), timeout=timeout, allow_redirects=False
            ) as response:
                self._reachability.answered(self.upstream_node.node_id)
                await _check(response)
                content_type = response.headers.get("Content-Type", "")
                async for data in response.content.iter_any():
                    self._metrics.received.inc(len(data))
                    received_s = time.monotonic()
                    yield content_type, data
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._reachability.failed(self.upstream_node.node_id, received_s, time.monotonic())
            self._metrics.failures.labels("live").inc()
            raise Unavailable("The origin does not answer.", debug=repr(error)) from error
        except AirnodeError:
            self._metrics.failures.labels("live").inc()
            raise

    async def _get(self, kind: str, name: str, query: Mapping[str, str], within_s: float, limit: int) -> bytes:
        self._metrics.requests.labels(kind).inc()
        timeout = aiohttp.ClientTimeout(total=within_s + _READ_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        requested_s = time.monotonic()
        try:
            async with (
                asyncio.timeout(within_s + _READ_TIMEOUT_S),
                self._session.get(
                    f"{self._base}/{quote(name)}",
                    params=query,
                    headers=self._token.header(),
                    timeout=timeout,
                    allow_redirects=False,
                ) as response,
            ):
                self._reachability.answered(self.upstream_node.node_id)
                await _check(response)
                if (response.content_length or 0) > limit:
                    raise Unavailable(f"The origin answers with {response.content_length} bytes.")
                body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._reachability.failed(self.upstream_node.node_id, requested_s, time.monotonic())
            self._metrics.failures.labels(kind).inc()
            raise Unavailable("The origin does not answer.", debug=repr(error)) from error
        except AirnodeError:
            self._metrics.failures.labels(kind).inc()
            raise
        return body


@dataclass(frozen=True, slots=True)
class UpstreamAccess:
    """How a relayed room connects to other nodes.

    Attributes:
        node_id: of this node.
        upstream: returns the client for a room and the node to pull it from.
        upstream_node: returns the address of an edge of the first tier.
    """

    node_id: str
    upstream: Callable[[str, UpstreamNode], UpstreamClient]
    upstream_node: Callable[[EdgeNode], UpstreamNode]
    metrics: RelayMetrics


def codecs_of(content_type: str) -> tuple[str, ...]:
    """Return the codecs in a Content-Type (RFC 6381)."""
    named = content_type.partition('codecs="')[2].partition('"')[0]
    return tuple(named.split(",")) if named else ()


def connector() -> aiohttp.TCPConnector:
    """Return a connector for sessions to other nodes, which detects broken connections within seconds."""
    return aiohttp.TCPConnector(limit=0, limit_per_host=0, socket_factory=_socket)


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    made = socket.socket(*info[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


async def _check(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 200:
        return
    if status in (404, 410):
        raise NotFound("The origin does not have it.")
    if status == 400:
        raise InvalidInput("The origin calls the request wrong.")
    if status == 409 and (response.content_length or 0) <= _MAX_REFUSAL_BYTES:
        raise _refusal(await response.read())
    raise Unavailable(f"The origin answers {status}.", retry_after_s=1)


def _refusal(text: bytes) -> AirnodeError:
    try:
        refusal = msgspec.json.decode(text, type=_Refusal)
    except msgspec.DecodeError:
        return Unavailable("The origin answers 409.", retry_after_s=1)
    return NoRelayPlace(refusal.detail, refusal.parents)
