"""The node owns the loop, the ports, the stores, the bus and the signals, and runs the roles' services."""

import asyncio
import enum
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

import airnode
from airnode.config.model import Settings
from airnode.config.sections.base import Section
from airnode.embedded.data_dir import DataDir
from airnode.errors import ConfigError, Unavailable
from airnode.kernel.access import RemoteAccess
from airnode.kernel.service import Service
from airnode.kernel.tasks import unfinished
from airnode.runtime import endpoints, sdnotify
from airnode.runtime.context import RoleContext
from airnode.runtime.identity import node_id, node_name, with_own_credentials, with_own_secrets
from airnode.runtime.joining import Join, join_request, joined, required_joins
from airnode.runtime.ports import HttpPorts, RouteAdder
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts, start_order
from airnode.runtime.stores import Stores, embeds
from airnode.runtime.supervision import drain_service, start_service, stop_service
from airnode.runtime.watchdog import LoopWatchdog
from airnode.web.addresses import Addresses, PortName
from airnode.web.health import HealthEndpoints, Identity
from airnode.web.tokens import Tokens

log = structlog.get_logger(__name__)

#: This long before its deadline, a stop logs the tasks that it waits for.
_WARN_BEFORE_DEADLINE_S = 1.0


class Phase(enum.StrEnum):
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

    Start: ports are bound (a port in use fails here) and answer health requests -> roles join a cluster, however long
    this takes -> roles are built, and their preflight checks run -> stores start -> services start, role by role, each
    after the services it depends on -> the other routes open -> ready (``endpoints.json``, sd_notify).

    Stop, in reverse order: readiness answers 503, services announce the drain -> wait ``drain.delay_s`` -> services
    drain in parallel for up to ``drain.timeout_s`` -> routes close -> services stop, the last one first -> stores stop.
    All of this ends within ``drain.deadline_s``. A second signal skips the drain.

    Args:
        sections: roles' own sections of the configuration, by role name.
        accesses: {name: access} that roles on other machines may ask for.
        on_ready: called with the endpoints and the data directory once the node is ready.
    """

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[Role],
        sections: Mapping[str, Section] | None = None,
        accesses: Mapping[str, RemoteAccess] | None = None,
        on_ready: Callable[[Mapping[str, object], str], None] | None = None,
    ) -> None:
        self._data = DataDir(settings.node.data_dir)
        self._on_ready = on_ready
        self._sections = sections or {}
        self._accesses = accesses or {}
        self._roles = roles
        self._settings = settings
        self._stop_requested = asyncio.Event()
        self._skip_drain = asyncio.Event()
        self._failure: str | None = None
        #: Whether this process has locked the data directory. Without the lock, another airnode may use it.
        self._has_data = False
        self.phase = Phase.STARTING
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        #: The running services, in the order of their start. Only start() and stop() change it.
        self._services: list[Service] = []
        self._ports = HttpPorts(settings.http, settings.drain.timeout_s, self._gate, self.registry)
        self._stores: Stores | None = None
        self._joined_master = False
        self.endpoints: Mapping[str, object] = {}

    # -- phases -------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, wait for a signal or a failure, stop, and return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop, signal.Signals(number).name)
        code = Exit.CLEAN
        try:
            if await self._start_unless_stopped():
                await self._stop_requested.wait()
        except BaseException:
            await self._stop_in_time()
            raise
        if not await self._stop_in_time():
            code = Exit.DEADLINE
        if self._failure is not None:
            log.error("node_failed", reason=self._failure)
            code = Exit.FAILURE
        return code

    def request_stop(self, why: str) -> None:
        """Begin to stop. The second call skips the drain."""
        log.info("stop_asked", why=why)
        if self._stop_requested.is_set():
            self._skip_drain.set()
        self._stop_requested.set()

    def fail(self, what: str, error: BaseException) -> None:
        """Stop with exit code 1: a part failed without which the node cannot run."""
        self._failure = self._failure or f"{what}: {error!r}"
        self._stop_requested.set()

    async def _start_unless_stopped(self) -> bool:
        """Start, but cancel the start if a stop is requested. Return whether the node started."""
        start = asyncio.ensure_future(self.start())  # noqa: TID251 - awaited below, whatever happens
        stopped = asyncio.ensure_future(self._stop_requested.wait())  # noqa: TID251 - likewise
        try:
            await asyncio.wait((start, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not start.done():
                start.cancel()
        try:
            await start
        except asyncio.CancelledError:
            if not self._stop_requested.is_set():
                raise
            return False
        return True

    async def start(self) -> None:
        """Start everything.

        Raises:
            StartupError: the node cannot run as configured. :meth:`stop` stops what was started.
        """
        started_s = time.monotonic()
        settings = self._prepare()
        identity = self._identify(settings)
        self._require_cluster_secrets(settings)
        joins = required_joins(settings, self._roles)
        self._joined_master = bool(joins)
        addresses = self._bind(settings)
        if joins:
            settings = await self._join(settings, joins, identity, addresses)
        _require_signing_key(settings)
        self._stores = Stores(settings, self._roles, self._data.path, self.registry, tuple(self._accesses.values()))
        addresses = replace(addresses, host=settings.node.host)
        parts, health = self._build(settings, self._stores, identity, addresses)
        for check in (each for part in parts.values() for each in part.preflight):
            await asyncio.to_thread(check)
        services = [each for role, part in parts.items() for each in start_order(role, part.services)]
        await self._ports.listen(_routes(health, parts.values()), addresses)
        await self._stores.start()
        for service in (LoopWatchdog(self.registry), *services):
            self._services.append(service)
            await start_service(service)
        self.endpoints = await self._found_endpoints(self._stores, parts.values(), addresses)
        self.phase = Phase.READY
        self._announce_ready(identity, time.monotonic() - started_s)

    def _announce_ready(self, identity: Identity, took_s: float) -> None:
        endpoints.write(self._data.path, self.endpoints)
        sdnotify.notify("READY=1\nSTATUS=serving")
        log.info(
            "node_ready",
            node_id=identity.node_id,
            roles=",".join(identity.roles),
            version=airnode.__version__,
            took_s=round(took_s, 3),
        )
        if self._on_ready is not None:
            self._on_ready(self.endpoints, str(self._data.path))

    async def stop(self) -> None:
        """Stop everything, also after a start that failed half-way."""
        if self.phase is Phase.READY:
            self.phase = Phase.DRAINING
            sdnotify.notify("STOPPING=1\nSTATUS=draining")
            await self._drain()
        self.phase = Phase.STOPPING
        if not self._has_data:
            return
        endpoints.remove(self._data.path)
        await self._ports.close()
        for service in reversed(self._services):
            await stop_service(service)
        if self._stores is not None:
            await self._stores.stop()
        self._data.release()
        if self.endpoints:
            log.info("node_stopped")

    # -- building -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> Settings:
        """Lock the data directory, and return the settings with the secrets that tokens need."""
        self._data.acquire()
        self._has_data = True
        endpoints.remove(self._data.path)
        settings = self._settings
        # A node without routes signs no tokens and verifies no tokens of other nodes, so it needs no shared key.
        if any(role.makes_secrets for role in self._roles) or not any(role.ports for role in self._roles):
            return with_own_secrets(settings, self._data.path)
        if embeds(settings, self._roles, Resource.POSTGRES):  # other masters do not need them
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

    def _require_cluster_secrets(self, settings: Settings) -> None:
        """Raise ConfigError if secrets that all masters share are missing, unless a role makes its own."""
        if any(role.makes_secrets for role in self._roles):
            return
        needed = {
            "JWT_SECRET_KEY (auth.jwt_secret)": settings.auth.jwt_secret,
            "AIRNODE_CLUSTER__TOKEN (cluster.token)": settings.cluster.token,
        }
        missing = [name for name, secret in needed.items() if not secret.get_secret_value()]
        if missing and any(role.needs_cluster_secrets for role in self._roles):
            raise ConfigError(
                f"airnode: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; all masters of a "
                "cluster share the same. Make each with: openssl rand -hex 32"
            )

    async def _join(
        self, settings: Settings, joins: Sequence[Join], identity: Identity, addresses: Addresses
    ) -> Settings:
        """Return the settings with the master's answers. Meanwhile the ports answer health requests."""
        self.phase = Phase.JOINING
        sdnotify.notify("STATUS=joining the cluster")
        health = HealthEndpoints(identity, (), lambda: self.phase.value, self.registry)
        await self._ports.listen(_routes(health, ()), addresses)
        try:
            for join in joins:
                settings = await joined(settings, join, join_request(settings, join, identity))
        finally:
            await self._ports.stop_listening()
        self.phase = Phase.STARTING
        return settings

    def _build(
        self, settings: Settings, stores: Stores, identity: Identity, addresses: Addresses
    ) -> tuple[dict[str, RoleParts], HealthEndpoints]:
        tokens = Tokens(settings.auth.jwt_secret.get_secret_value(), settings.auth.token_ttl_s)
        parts = {
            role.name: role.build(
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
                    queues=stores.jobs,
                    fail=self.fail,
                    accesses=self._accesses,
                    remote_urls=stores.remote_urls,
                    implied=role.implied,
                )
            )
            for role in self._roles
        }
        checks = [*stores.checks(), *(check for part in parts.values() for check in part.checks)]
        health = HealthEndpoints(identity, checks, lambda: self.phase.value, self.registry)
        return parts, health

    def _bind(self, settings: Settings) -> Addresses:
        wanted = {PortName.HTTP: settings.http.port}
        if any(PortName.MEDIA in role.ports for role in self._roles):
            wanted[PortName.MEDIA] = settings.media.port
        http = settings.http
        return Addresses(settings.node.host, http.host, http.tls_cert is not None, self._ports.bind(wanted))

    def _gate(self) -> None:
        """Raise Unavailable (503) for all requests except health until the node is ready."""
        if self.phase in (Phase.JOINING, Phase.STARTING):
            raise Unavailable("This node is starting.", retry_after_s=1)

    async def _found_endpoints(
        self, stores: Stores, parts: Iterable[RoleParts], addresses: Addresses
    ) -> dict[str, object]:
        """Return the content of ``endpoints.json``."""
        here = replace(addresses, host="")
        found: dict[str, object] = {
            "pid": os.getpid(),
            "api_url": addresses.url(PortName.HTTP),
            "health_url": here.url(PortName.HTTP),
            **stores.embedded_urls,
        }
        if self._joined_master:
            found["master_url"] = self._settings.cluster.master_url
        for part in parts:
            found.update(await part.endpoints() if part.endpoints is not None else {})
        return endpoints.complete(found)

    # -- stopping -----------------------------------------------------------------------------------------------------

    async def _stop_in_time(self) -> bool:
        """Stop everything. Return whether that took less than ``drain.deadline_s``."""
        try:
            async with asyncio.timeout(self._settings.drain.deadline_s):
                warning = asyncio.get_running_loop().call_later(
                    self._settings.drain.deadline_s - _WARN_BEFORE_DEADLINE_S, self._warn_of_deadline
                )
                try:
                    await self.stop()
                finally:
                    warning.cancel()
        except TimeoutError:
            log.error("stop_deadline_passed", deadline_s=self._settings.drain.deadline_s)
            return False
        return True

    def _warn_of_deadline(self) -> None:
        log.warning("stop_takes_long", phase=self.phase.value, unfinished=unfinished())

    async def _drain(self) -> None:
        drain = self._settings.drain
        log.info("node_draining", timeout_s=drain.timeout_s)
        draining = asyncio.gather(*(drain_service(each, drain.delay_s, drain.timeout_s) for each in self._services))
        skip = asyncio.ensure_future(self._skip_drain.wait())  # noqa: TID251 - ended below
        done, _ = await asyncio.wait((draining, skip), return_when=asyncio.FIRST_COMPLETED)
        skip.cancel()
        if draining not in done:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)


def _require_signing_key(settings: Settings) -> None:
    if not settings.auth.jwt_secret.get_secret_value():
        raise ConfigError(
            "airnode: JWT_SECRET_KEY (auth.jwt_secret) is not set; all nodes of a cluster share one. "
            "Make one with: openssl rand -hex 32"
        )


def _routes(health: HealthEndpoints, parts: Iterable[RoleParts]) -> dict[PortName, list[RouteAdder]]:
    """Return {port: functions that add routes to it}."""
    routes: dict[PortName, list[RouteAdder]] = {PortName.HTTP: [health.add_routes]}
    for part in parts:
        for name, add in part.routes.items():
            routes.setdefault(name, []).append(add)
    return routes
