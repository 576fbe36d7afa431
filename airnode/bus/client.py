"""The bus: the connections of this process to Redis."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import redis
import structlog
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError
from redis.retry import Retry as ThreadRetry

from airnode.bus import keys
from airnode.bus.envelope import encode
from airnode.bus.listener import PubSubListener
from airnode.bus.subscription import AnyChannelSubscription, BusMetrics, ChannelSubscription, DropReport
from airnode.config.sections.redis import RedisSection
from airnode.errors import StartupError, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope, ended
from airnode.kernel.urls import host_port, url_host

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=msgspec.Struct)
#: Handles one message of the type that it is registered for.
Handler = Callable[[Any], Awaitable[None]]

_RETRY_FIRST_S = 0.05
_RETRY_LAST_S = 1.0
_PING_TIMEOUT_S = 2.0
_COMMAND_TIMEOUT_S = 10.0
#: Host names that only mean something on the machine itself.
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


class Bus(Service):
    """Connections to Redis: a pool for commands, and one connection for pub/sub.

    Args:
        section: the URL, or ``host``, ``port`` and ``password``.
        url: overrides the URL of the section, for the embedded server.
        retry_forever: ``start`` retries without a limit, and logs that it waits.
    """

    name = "bus"

    def __init__(
        self, section: RedisSection, metrics: BusMetrics, *, url: str = "", retry_forever: bool = False
    ) -> None:
        super().__init__()
        self._section = section
        self._metrics = metrics
        self._retry_forever = retry_forever
        self._url = url or section.url or f"redis://{section.host}:{section.port}"
        self._drops = DropReport(metrics)
        self._tasks = TaskScope("bus")
        #: {subscription: the task that calls its handler}. Owned by this class.
        self._workers: dict[AnyChannelSubscription, asyncio.Task[None]] = {}
        self._client: aioredis.Redis | None = None
        self._listener: PubSubListener | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Return the address of the server without the password, for logs and error messages."""
        parts = urlsplit(self._url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def connect_timeout_s(self) -> float:
        """Return ``redis.connect_timeout_s``."""
        return self._section.connect_timeout_s

    @property
    def client(self) -> aioredis.Redis:
        """Return the client with the connection pool; its replies are bytes.

        Raises:
            Unavailable: the bus has not started, or has stopped. HTTP 503.
        """
        if self._client is None:
            raise Unavailable("Redis is not connected.")
        return self._client

    async def start(self) -> None:
        """Connect. Retry for ``redis.connect_timeout_s``, or without a limit if ``retry_forever``.

        Raises:
            StartupError: the server does not answer, or rejects the credentials.
        """
        try:
            self._client = aioredis.Redis.from_pool(self._command_pool())
        except ValueError as error:
            raise StartupError(f"redis.url is not an address of a Redis: {error}") from None
        await self._until_answering(self._client)
        self._listener = PubSubListener(self._pubsub_pool(), self._metrics, self._drops)
        self._listening = self._tasks.spawn("listener", self._listener.run())
        log.info("bus_connected", address=self.address)

    async def stop(self) -> None:
        """Close all connections. Queued messages are dropped."""
        await self._tasks.aclose()
        self._workers.clear()
        client, self._client, self._listener = self._client, None, None
        if client is not None:
            await client.aclose()

    async def ping(self) -> None:
        """Send a PING.

        Raises:
            Unavailable: the server does not answer.
        """
        with unavailable(f"Redis at {self.address} does not answer."):
            async with asyncio.timeout(_PING_TIMEOUT_S):
                await self.client.ping()

    async def publish(self, channel: str, message: msgspec.Struct) -> int:
        """Send a message to the current subscribers; return the number of connections that receive it.

        Args:
            channel: without the prefix; see :func:`airnode.bus.keys.channel`.

        Raises:
            TooLarge: above 256 KiB.
            Unavailable: the server does not answer.
        """
        data = encode(message)
        with unavailable():
            receivers = await self.client.publish(keys.channel(channel), data)
        self.count_published()
        return int(receivers)

    def count_published(self) -> None:
        """Count a message that was published together with other commands."""
        self._metrics.published.inc()

    async def subscribe(
        self,
        channel: str,
        kind: type[M],
        handler: Callable[[M], Awaitable[None]],
        *,
        on_resubscribed: Callable[[], Awaitable[None]] | None = None,
    ) -> ChannelSubscription[M]:
        """Subscribe to one type on a channel. Return the subscription once the server has confirmed it.

        ``handler`` is called for each message of this type, one at a time and in order. ``on_resubscribed`` is called
        when messages may be missing.

        Raises:
            Unavailable: the server did not confirm within ``redis.connect_timeout_s``.
        """
        return (await self.subscribe_types(channel, {kind: handler}, on_resubscribed=on_resubscribed))[0]

    async def subscribe_types(
        self,
        channel: str,
        handlers: Mapping[type[Any], Handler],
        *,
        on_resubscribed: Callable[[], Awaitable[None]] | None = None,
    ) -> list[AnyChannelSubscription]:
        """Subscribe to several types on one channel. Return the subscriptions once the server has confirmed them.

        All types are registered together, so that no message arrives before the handler of its type is registered.
        Each type has its own queue: a slow handler delays only its own type.

        Args:
            handlers: {type: its handler}; at least one.
            on_resubscribed: runs in the queue of the first type; see :class:`ChannelSubscription`.

        Raises:
            Unavailable: the server did not confirm within ``redis.connect_timeout_s``.
        """
        listener = self._listener
        if listener is None:
            raise Unavailable("Redis is not connected.")
        subscriptions: list[AnyChannelSubscription] = []
        for kind, handler in handlers.items():
            resync = None if subscriptions else on_resubscribed
            subscription = ChannelSubscription(keys.channel(channel), kind, handler, resync, self._metrics, self._drops)
            self._workers[subscription] = self._tasks.spawn(f"handle-{channel}", subscription.run())
            subscriptions.append(subscription)
        try:
            with unavailable():
                async with asyncio.timeout(self._section.connect_timeout_s):
                    await listener.add(*subscriptions)
                    for subscription in subscriptions:
                        await subscription.ready.wait()
        except BaseException:
            for subscription in subscriptions:
                await self.unsubscribe(subscription)
            raise
        return subscriptions

    async def unsubscribe(self, subscription: AnyChannelSubscription) -> None:
        """End a subscription and cancel its handler. Does nothing if it has ended already."""
        worker = self._workers.pop(subscription, None)
        if worker is not None and worker is not asyncio.current_task():
            await ended(worker)
        if self._listener is not None:
            await self._listener.remove(subscription)

    def separate_client(self, client_name: str, *, connections: int) -> aioredis.Redis:
        """Return a client with a pool of its own, for commands that block for up to 5 s.

        Its replies are text; the caller closes it. A command that fails is not sent again.
        """
        options = self._options() | {"client_name": client_name, "decode_responses": True}
        pool = aioredis.BlockingConnectionPool.from_url(
            self._url,
            timeout=self._section.connect_timeout_s,
            max_connections=connections,
            socket_timeout=_COMMAND_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        return aioredis.Redis.from_pool(pool)

    def thread_client(self, client_name: str) -> redis.Redis:
        """Return a client for another thread than that of the event loop. Its replies are text; the caller closes it.

        A command that gets no answer within two seconds fails, and is not sent again.
        """
        options = self._options() | {"client_name": client_name, "decode_responses": True}
        return redis.Redis.from_url(
            self._url,
            socket_timeout=_PING_TIMEOUT_S,
            retry=ThreadRetry(NoBackoff(), 0),
            **options,
        )

    def decode_value(self, data: bytes | str, kind: type[M], place: str) -> M | None:
        """Return a stored value, decoded; None if it is not of this type (counted and logged)."""
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._drops.count("bad_value", place, str(error))
            return None

    async def _until_answering(self, client: aioredis.Redis) -> None:
        loop = asyncio.get_running_loop()
        timeout_s = self._section.connect_timeout_s
        deadline, logged = loop.time() + timeout_s, False
        backoff = Backoff(_RETRY_FIRST_S, _RETRY_LAST_S)
        while True:
            try:
                async with asyncio.timeout(timeout_s) if self._retry_forever else asyncio.timeout_at(deadline):
                    await client.ping()
                return
            except (RedisError, OSError, TimeoutError) as error:
                if refusal := _refusal(error):
                    raise StartupError(f"Redis at {self.address} refuses: {refusal}.") from None
                pause_s = backoff.next_s()
                if not self._retry_forever and loop.time() + pause_s >= deadline:
                    raise StartupError(
                        f"Redis at {self.address} did not answer within {timeout_s:g} s.", debug=repr(error)
                    ) from None
                if self._retry_forever and not logged:
                    logged = True
                    log.warning("redis_not_reached", address=self.address, error=str(error), detail="trying on")
            await asyncio.sleep(pause_s)

    def _command_pool(self) -> aioredis.ConnectionPool:
        # The server may close an idle connection. The next command on it then fails, so commands are retried.
        return aioredis.BlockingConnectionPool.from_url(
            self._url,
            timeout=self._section.connect_timeout_s,
            max_connections=self._section.max_connections,
            socket_timeout=_COMMAND_TIMEOUT_S,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
            **self._options(),
        )

    def _pubsub_pool(self) -> aioredis.ConnectionPool:
        return aioredis.ConnectionPool.from_url(
            self._url, max_connections=1, retry=Retry(NoBackoff(), 0), **self._options()
        )

    def _options(self) -> dict[str, Any]:
        password = self._section.password.get_secret_value()
        options: dict[str, Any] = {
            "socket_connect_timeout": self._section.connect_timeout_s,
            "client_name": "airnode",
            # The listener parses RESP2, and with RESP2 the server's error for a missing password is clear.
            "protocol": 2,
        }
        if password and not urlsplit(self._url).password:
            options["password"] = password
        return options


def _refusal(error: BaseException | None) -> str:
    """Return the server's message if it rejects our credentials, else an empty string. redis-py may wrap the error."""
    while error is not None:
        if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
            return str(error).rstrip(".")
        error = error.__cause__ or error.__context__
    return ""


@contextlib.contextmanager
def unavailable(detail: str = "Redis does not answer.") -> Iterator[None]:
    """Raise ``Unavailable`` instead of the errors that redis-py raises while the server does not answer.

    Raises:
        Unavailable: Redis failed; ``debug`` contains the cause. HTTP 503.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(detail, debug=repr(error)) from error


def shared_url(section: RedisSection, host: str) -> str:
    """Return the URL of this node's Redis for another node, with the password.

    Args:
        host: the host name that the other node used for this machine; it replaces ``localhost`` and the like.

    Returns:
        The URL; empty for a unix socket, which other machines cannot reach.
    """
    url = section.url or f"redis://{host_port(section.host, section.port)}"
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.hostname is None:
        return ""
    login, at, _ = parts.netloc.rpartition("@")
    password = section.password.get_secret_value()
    if password and not parts.password:
        login, at = f"{login.rstrip(':')}:{quote(password, safe='')}", "@"
    name = url_host(host if parts.hostname in _LOCAL_HOSTS else parts.hostname)
    port = f":{parts.port}" if parts.port is not None else ""
    return urlunsplit(parts._replace(netloc=f"{login}{at}{name}{port}"))
