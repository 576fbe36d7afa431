"""The node: owns the loop, the ports, the stores, the bus and the signals, and runs the roles' services."""

import asyncio
import enum
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

import airnode
from airnode.config.model import Settings
from airnode.config.sections.base import Section
from airnode.embedded.datadir import DataDir
from airnode.errors import AirnodeError, ConfigError, Unavailable
from airnode.kernel.service import Service, State
from airnode.kernel.tasks import unfinished
from airnode.runtime import endpoints, sdnotify
from airnode.runtime.context import JoinContext, RoleContext
from airnode.runtime.identity import node_id, node_name, with_own_credentials, with_own_secrets
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts
from airnode.runtime.stores import Stores, embeds
from airnode.runtime.watchdog import LoopWatchdog
from airnode.web.addresses import Addresses, PortName
from airnode.web.apps import build_app
from airnode.web.health import HealthEndpoints, Identity
from airnode.web.listeners import HttpLog, Listener
from airnode.web.sockets import bind, tls_context
from airnode.web.tokens import Tokens

log = structlog.get_logger(__name__)

#: A stop that is about to pass its deadline says what it waits for.
_SAY_BEFORE_S = 1.0


class Phase(enum.StrEnum):
    """Where a node is in its life."""

    JOINING = "joining"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"


class Exit(enum.IntEnum):
    """Exit codes of the process."""

    CLEAN = 0
    FAILURE = 1
    CONFIG = 2
    DEADLINE = 3


class Node:
    """Runs roles in one process.

    Start: ports are bound (a taken one fails here) and answer health -> roles that join a cluster do, for as long as it
    takes -> stores -> services in order -> the other routes open -> ready (``endpoints.json``, sd_notify). Stop is the
    reverse: say draining (readiness 503, services announce it) -> wait ``drain.delay_s`` -> services drain side by side
    up to ``drain.timeout_s`` -> routes close -> services stop, last first -> stores. All of it within
    ``drain.deadline_s``. A second signal skips the drain.

    Args:
        sections: roles' own sections of the configuration, by role name.
        on_ready: called with the endpoints and the data directory once the node is ready.
    """

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[Role],
        sections: Mapping[str, Section] | None = None,
        on_ready: Callable[[Mapping[str, object], str], None] | None = None,
    ) -> None:
        self._data = DataDir(settings.node.data_dir)
        self._on_ready = on_ready
        self._sections = sections or {}
        self._roles = roles
        self._settings = settings
        self._stop_asked = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failure: str | None = None
        #: Whether the data directory is ours: what stands in it may be another airnode's.
        self._has_data = False
        self.phase = Phase.STARTING
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        #: What is running, in the order of its start. Owned by start() and stop().
        self._services: list[Service] = []
        self._listeners: list[Listener] = []
        #: {port: its sockets}, bound once; a listener closes those it was given.
        self._sockets: dict[PortName, list[socket.socket]] = {}
        self._http_log = HttpLog(self.registry)
        self._stores: Stores | None = None
        self.endpoints: Mapping[str, object] = {}

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, wait for a signal or a failure, stop. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask_stop, signal.Signals(number).name)
        code = Exit.CLEAN
        try:
            if await self._start_unless_stopped():
                await self._stop_asked.wait()
        except BaseException:
            await self._stop_in_time()
            raise
        if not await self._stop_in_time():
            code = Exit.DEADLINE
        if self._failure is not None:
            log.error("node_failed", reason=self._failure)
            code = Exit.FAILURE
        return code

    def ask_stop(self, why: str) -> None:
        """Begin to stop; asked again, stop without draining."""
        log.info("stop_asked", why=why)
        if self._stop_asked.is_set():
            self._hurry.set()
        self._stop_asked.set()

    def fail(self, what: str, error: BaseException) -> None:
        """A part that the node cannot do without has failed: stop, exit code 1."""
        self._failure = self._failure or f"{what}: {error!r}"
        self._stop_asked.set()

    async def _start_unless_stopped(self) -> bool:
        """Start; False when a stop was asked meanwhile (the start is then abandoned)."""
        start = asyncio.ensure_future(self.start())  # noqa: TID251 - awaited below, whatever happens
        asked = asyncio.ensure_future(self._stop_asked.wait())  # noqa: TID251 - likewise
        try:
            await asyncio.wait((start, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not start.done():
                start.cancel()
        try:
            await start
        except asyncio.CancelledError:
            if not self._stop_asked.is_set():
                raise
            return False
        return True

    async def start(self) -> None:
        """Bring everything up.

        Raises:
            StartupError: it cannot run as configured. Whatever was started is left to :meth:`stop`.
        """
        started_s = time.monotonic()
        settings = self._prepare()
        identity = self._identify(settings)
        addresses = Addresses(settings.node.host, settings.http.host, settings.http.tls_cert is not None)
        settings = await self._join(settings, identity, addresses)
        _require_signing_key(settings)
        self._stores = Stores(settings, self._roles, self._data.path, self.registry)
        addresses = replace(addresses, host=settings.node.host)
        parts, health = self._build(settings, self._stores, identity, addresses)
        self._bind(settings, addresses)
        await self._listen(settings, parts, health, addresses)
        await self._stores.start()
        for service in (LoopWatchdog(self.registry), *(each for part in parts for each in part.services)):
            self._services.append(service)
            await _start_service(service)
        here = replace(addresses, host="")
        found: dict[str, object] = {
            "pid": os.getpid(),
            "api_url": addresses.url(PortName.HTTP),
            "health_url": here.url(PortName.HTTP),
            **self._stores.embedded_urls,
        }
        for part in parts:
            found.update(await part.endpoints() if part.endpoints is not None else {})
        self.endpoints = endpoints.complete(found)
        self.phase = Phase.READY
        endpoints.write(self._data.path, self.endpoints)
        sdnotify.notify("READY=1\nSTATUS=serving")
        log.info(
            "node_ready",
            node_id=identity.node_id,
            roles=",".join(identity.roles),
            version=airnode.__version__,
            took_s=round(time.monotonic() - started_s, 3),
        )
        if self._on_ready is not None:
            self._on_ready(self.endpoints, str(self._data.path))

    async def stop(self) -> None:
        """Take everything down; works after a start that failed half-way."""
        if self.phase is Phase.READY:
            self.phase = Phase.DRAINING
            sdnotify.notify("STOPPING=1\nSTATUS=draining")
            await self._drain()
        self.phase = Phase.STOPPING
        if not self._has_data:
            return
        endpoints.remove(self._data.path)
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        for sock in (each for sockets in self._sockets.values() for each in sockets):
            sock.close()  # those that nothing listened on
        for service in reversed(self._services):
            await _stop_service(service)
        if self._stores is not None:
            await self._stores.stop()
        self._data.release()
        if self.endpoints:
            log.info("node_stopped")

    # -- building -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> Settings:
        """Take the data directory; have the secrets that tokens need."""
        self._data.acquire()
        self._has_data = True
        endpoints.remove(self._data.path)
        settings = self._settings
        # Who offers nothing on a port signs nothing and checks no token of others: it shares no key with the cluster.
        if any(role.makes_secrets for role in self._roles) or not any(role.ports for role in self._roles):
            return with_own_secrets(settings, self._data.path)
        if embeds(settings, self._roles, Resource.POSTGRES):  # no other master that would have to know them
            return with_own_credentials(settings, self._data.path)
        return settings

    def _identify(self, settings: Settings) -> Identity:
        identity = Identity(
            node_id(self._data.path), node_name(settings.node), tuple(role.name for role in self._roles)
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Gauge("airnode_info", "This node", ["version", "roles"], registry=self.registry).labels(
            airnode.__version__, ",".join(identity.roles)
        ).set(1)
        return identity

    async def _join(self, settings: Settings, identity: Identity, addresses: Addresses) -> Settings:
        """Let roles complete the settings; the ports answer health meanwhile."""
        context = JoinContext(settings, identity, addresses, any(role.makes_secrets for role in self._roles))
        joins = [join for role in self._roles if (join := role.join(context)) is not None]
        if not joins:
            return settings
        self.phase = Phase.JOINING
        sdnotify.notify("STATUS=joining the cluster")
        self._bind(settings, addresses)
        health = HealthEndpoints(identity, (), lambda: self.phase.value, self.registry)
        bound = self._sockets
        self._sockets = {name: [sock.dup() for sock in sockets] for name, sockets in bound.items()}
        await self._listen(settings, (), health, addresses)
        try:
            for join in joins:
                settings = await join(settings)
        finally:
            for listener in self._listeners:
                await listener.stop()
            self._listeners.clear()
            self._sockets = bound
        self.phase = Phase.STARTING
        return settings

    def _build(
        self, settings: Settings, stores: Stores, identity: Identity, addresses: Addresses
    ) -> tuple[list[RoleParts], HealthEndpoints]:
        tokens = Tokens(settings.auth.jwt_secret.get_secret_value(), settings.auth.token_ttl_s)
        parts = [
            role.build(
                RoleContext(
                    role=role.name,
                    settings=settings,
                    section=self._sections.get(role.name),
                    identity=identity,
                    data_dir=self._data.path,
                    registry=self.registry,
                    addresses=addresses,
                    tokens=tokens,
                    resources={each: stores.clients[each] for each in role.needs},
                    fail=self.fail,
                    shared_redis_url=stores.shared_redis_url,
                    pipeline_urls=stores.pipeline_urls,
                )
            )
            for role in self._roles
        ]
        checks = [*stores.checks(), *(check for part in parts for check in part.checks)]
        health = HealthEndpoints(identity, checks, lambda: self.phase.value, self.registry)
        return parts, health

    def _bind(self, settings: Settings, addresses: Addresses) -> None:
        """Take the ports, once; what binds them is answered by :meth:`_listen`."""
        if self._sockets:
            return
        wanted = [(PortName.HTTP, settings.http.port, "the pages and the API", "--port")]
        if any(PortName.MEDIA in role.ports for role in self._roles):
            wanted.append((PortName.MEDIA, settings.media.port, "media", "--media-port"))
        for name, port, what, how in wanted:
            self._sockets[name] = bind(settings.http.host, port, what, how)
            addresses.ports[name] = self._sockets[name][0].getsockname()[1]

    async def _listen(
        self, settings: Settings, parts: Sequence[RoleParts], health: HealthEndpoints, addresses: Addresses
    ) -> None:
        tls = tls_context(settings.http.tls_cert, settings.http.tls_key)
        apps: dict[PortName, web.Application] = {}
        for name, sockets in self._sockets.items():
            adders = [part.routes[name] for part in parts if name in part.routes]
            if name is PortName.HTTP:
                adders.insert(0, health.add_routes)
            apps[name] = build_app(settings.http, adders, self._gate, documents=lambda: apps_with_urls(apps, addresses))
            self._listeners.append(Listener(apps[name], sockets, tls, settings.drain.timeout_s, self._http_log))
        for listener in self._listeners:
            await listener.start()

    def _gate(self) -> None:
        """Raise Unavailable (503) for everything but health until the node is ready."""
        if self.phase in (Phase.JOINING, Phase.STARTING):
            raise Unavailable("This node is starting.", retry_after_s=1)

    # -- stopping -----------------------------------------------------------------------------------------------------

    async def _stop_in_time(self) -> bool:
        """Stop within the deadline; False when it took too long."""
        try:
            async with asyncio.timeout(self._settings.drain.deadline_s):
                say = asyncio.get_running_loop().call_later(
                    self._settings.drain.deadline_s - _SAY_BEFORE_S, self._say_what_hangs
                )
                try:
                    await self.stop()
                finally:
                    say.cancel()
        except TimeoutError:
            log.error("stop_deadline_passed", deadline_s=self._settings.drain.deadline_s)
            return False
        return True

    def _say_what_hangs(self) -> None:
        log.warning("stop_takes_long", phase=self.phase.value, unfinished=unfinished())

    async def _drain(self) -> None:
        drain = self._settings.drain
        log.info("node_draining", timeout_s=drain.timeout_s)
        draining = asyncio.gather(*(_drain_service(each, drain.delay_s, drain.timeout_s) for each in self._services))
        hurry = asyncio.ensure_future(self._hurry.wait())  # noqa: TID251 - ended below
        done, _ = await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if draining not in done:
            draining.cancel()
            await asyncio.wait((draining,))


def _require_signing_key(settings: Settings) -> None:
    if not settings.auth.jwt_secret.get_secret_value():
        raise ConfigError(
            "airnode: JWT_SECRET_KEY (auth.jwt_secret) is not set; all nodes of a cluster share one. "
            "Make one with: openssl rand -hex 32"
        )


def apps_with_urls(apps: Mapping[PortName, web.Application], addresses: Addresses) -> list[tuple[web.Application, str]]:
    """Each port's application with its base URL, for the OpenAPI document."""
    return [(app, addresses.url(name)) for name, app in apps.items()]


async def _start_service(service: Service) -> None:
    service.state = State.STARTING
    try:
        await service.start()
    except BaseException:
        service.state = State.FAILED
        raise
    service.state = State.RUNNING


async def _drain_service(service: Service, delay_s: float, timeout_s: float) -> None:
    """The service supervisor's boundary: one that cannot drain must not keep the others from it."""
    service.state = State.DRAINING
    began_s = time.monotonic()
    await _guarded(service, "announce_drain", asyncio.wait_for(service.announce_drain(), timeout_s))
    await asyncio.sleep(delay_s - (time.monotonic() - began_s))
    await _guarded(service, "drain", asyncio.wait_for(service.drain(), timeout_s))


async def _stop_service(service: Service) -> None:
    await _guarded(service, "stop", service.stop())
    service.state = State.STOPPED


async def _guarded(service: Service, what: str, doing: Awaitable[None]) -> None:
    try:
        await doing
    except TimeoutError:
        log.warning("service_drain_timed_out", service=service.name)
    except AirnodeError as error:
        log.error("service_failed", service=service.name, during=what, error=str(error))
    except Exception as error:  # the service supervisor's boundary
        log.error("service_failed", service=service.name, during=what, exc_info=error)
