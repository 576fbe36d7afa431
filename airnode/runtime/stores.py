"""The stores that a node needs: the configured ones, or else embedded servers."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus, shared_url
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.metrics import JobMetrics
from airnode.bus.subscription import BusMetrics
from airnode.config.model import Settings
from airnode.config.sections.kafka import KafkaSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey
from airnode.errors import ConfigError
from airnode.kernel.access import RemoteAccess, StoreUrls
from airnode.processes.supervisor import ChildServer
from airnode.runtime.remote_users import own_redis_password, postgres_network, redis_network
from airnode.runtime.resources import Resource, is_configured
from airnode.runtime.role import Role
from airnode.store.eventlog.create_log import create_event_log
from airnode.store.eventlog.log import EventLog
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from airnode.web.health import HealthCheck

_HOW = {
    Resource.REDIS: (
        "a Redis",
        "redis.url (--redis-url, REDIS_URL), or cluster.master_url (--master-url) to get it from there",
    ),
    Resource.POSTGRES: (
        "a PostgreSQL",
        "postgres.url (--postgres-url, POSTGRES_HOST), or for the pipeline's roles cluster.master_url (--master-url) "
        "and cluster.pipeline_token to work on the master's",
    ),
}


class Stores:
    """Opens the stores that the roles need: first the embedded servers, in parallel, then the clients.

    Args:
        accesses: accesses of roles on other machines to the embedded servers.

    Raises:
        ConfigError: a role needs a store that is not configured, and that none of these roles may embed.
    """

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[Role],
        data_dir: Path,
        registry: CollectorRegistry,
        accesses: Sequence[RemoteAccess] = (),
    ) -> None:
        self._servers: list[ChildServer] = []
        self._settings = settings
        self._roles = roles
        self._valkey: EmbeddedValkey | None = None
        self._postgres: EmbeddedPostgres | None = None
        #: {name in endpoints.json: address} of the embedded servers, for commands on this machine.
        self.embedded_urls: dict[str, str] = {}
        #: {resource: its client}, for the stores that the roles need.
        self.clients: dict[Resource, Bus | Postgres | EventLog] = {}
        #: The job queues of the node's Redis, for all its roles; None without Redis.
        self.jobs: Jobs | None = None
        needed = frozenset().union(*(role.needs for role in roles))
        embeddable = frozenset().union(*(role.embeds for role in roles))
        for resource in sorted(needed - {Resource.EVENT_LOG}):
            if not is_configured(settings, resource) and resource not in embeddable:
                what, how = _HOW[resource]
                names = ", ".join(role.name for role in roles if resource in role.needs)
                raise ConfigError(f"airnode: the role {names} needs {what}: set {how}, or run a role that brings one.")
        metrics = EmbeddedMetrics(registry)
        if Resource.REDIS in needed:
            url = ""
            if not is_configured(settings, Resource.REDIS):
                network = redis_network(settings, accesses, data_dir)
                password = own_redis_password(data_dir) if network is not None else ""
                self._valkey = EmbeddedValkey(data_dir, settings.embedded, metrics, network, password)
                self._servers.append(self._valkey)
                self.embedded_urls["redis_url"] = url = self._valkey.url
            # A node that may not run its own Redis has the address of another one, and waits until it answers.
            patient = Resource.REDIS not in embeddable
            bus = Bus(settings.redis, BusMetrics(registry), url=url, retry_forever=patient)
            self.clients[Resource.REDIS] = bus
            self.jobs = Jobs(bus, settings.jobs, JobMetrics(registry))
        if Resource.POSTGRES in needed:
            url = ""
            if not is_configured(settings, Resource.POSTGRES):
                network = postgres_network(settings, accesses, data_dir)
                self._postgres = EmbeddedPostgres(data_dir, settings.embedded, metrics, network)
                self._servers.append(self._postgres)
                self.embedded_urls["postgres_url"] = url = self._postgres.url
            self.clients[Resource.POSTGRES] = Postgres(settings.postgres, url=url)
        if Resource.EVENT_LOG in needed:
            redis = self.clients[Resource.REDIS]
            assert isinstance(redis, Bus)  # noqa: S101 - an invariant of the roles
            # A role that nobody asked for must not keep a node from starting when Kafka does not answer.
            asked = any(Resource.EVENT_LOG in role.needs and not role.implied for role in roles)
            kafka = settings.kafka if asked else KafkaSection()
            self.clients[Resource.EVENT_LOG] = create_event_log(kafka, settings.eventlog, redis, registry)

    async def start(self) -> None:
        """Start the servers in parallel, then connect."""
        results = await asyncio.gather(*(server.start() for server in self._servers), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        for client in self.clients.values():
            await client.start()
            if isinstance(client, Postgres):
                await migrate(client)
        if self._postgres is not None:
            await self._postgres.grant_rights()

    async def stop(self) -> None:
        """Disconnect, then stop the servers."""
        if self.jobs is not None:
            await self.jobs.stop()
        for client in reversed(self.clients.values()):
            await client.stop()
        await asyncio.gather(*(server.stop() for server in self._servers))

    def remote_urls(self, access: RemoteAccess, host: str) -> StoreUrls:
        """Return the addresses for a role on another machine that reached this one as ``host``.

        A configured store is not shared, because its user has more rights than most accesses declare. Only nodes get
        the address of a configured Redis.
        """
        redis = postgres = ""
        if self._valkey is not None:
            redis = self._valkey.remote_url(access, host)
        elif access.is_node:
            redis = shared_url(self._settings.redis, host)
        if self._postgres is not None:
            postgres = self._postgres.remote_url(access, host)
        return StoreUrls(redis, postgres)

    def checks(self) -> list[HealthCheck]:
        """Return one check for each store.

        Only a node that answers requests from PostgreSQL is not ready without it. Without Redis a node continues with
        the data it has, and roles without requests retry by themselves. Neither taking them out of service nor
        restarting them would help (docs/adr/0012).
        """
        serves_from_postgres = any(role.ports for role in self._roles if Resource.POSTGRES in role.needs)
        return [
            HealthCheck(
                str(resource),
                client.ping,
                critical=resource is Resource.POSTGRES and serves_from_postgres,
                while_starting=True,
                meanwhile={role.name: role.without[resource] for role in self._roles if resource in role.without},
            )
            for resource, client in self.clients.items()
        ]


def embeds(settings: Settings, roles: Sequence[Role], resource: Resource) -> bool:
    """Return whether the node runs this store itself."""
    return not is_configured(settings, resource) and any(resource in role.needs & role.embeds for role in roles)
