"""Stores for a command, which runs once, with or without a node on the same machine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.cluster.join_types import JOIN_PATH, JoinAnswer
from airnode.config.model import Settings
from airnode.errors import StartupError, Unavailable
from airnode.kernel import logging
from airnode.kernel.access import RemoteAccess
from airnode.runtime import endpoints
from airnode.runtime.joining import command_join, completed, join_master, join_request
from airnode.runtime.resources import Resource, is_configured
from airnode.store.eventlog.create_log import create_event_log, uses_kafka
from airnode.store.eventlog.log import EventLog
from airnode.store.postgres import Postgres
from airnode.web.master_client import CredentialRefused

if TYPE_CHECKING:
    from airnode.config.loading import Loaded

T = TypeVar("T")

_HOW = {
    Resource.REDIS: ("Redis", "--redis-url (REDIS_URL)"),
    Resource.POSTGRES: ("PostgreSQL", "--postgres-url (POSTGRES_HOST)"),
}


@dataclass(frozen=True, slots=True)
class OpenStores:
    """Started clients. The property of a store that was not requested raises LookupError.

    Attributes:
        registry: holds the metrics of the clients.
    """

    registry: CollectorRegistry
    clients: Mapping[Resource, Bus | Postgres | EventLog]

    @property
    def bus(self) -> Bus:
        found = self.clients[Resource.REDIS]
        assert isinstance(found, Bus)  # noqa: S101 - see open_stores
        return found

    @property
    def postgres(self) -> Postgres:
        """Return the PostgreSQL pool; the schema is not migrated."""
        found = self.clients[Resource.POSTGRES]
        assert isinstance(found, Postgres)  # noqa: S101 - see open_stores
        return found

    @property
    def event_log(self) -> EventLog:
        found = self.clients[Resource.EVENT_LOG]
        assert not isinstance(found, Bus | Postgres)  # noqa: S101 - see open_stores
        return found


def run(loaded: "Loaded", command: Coroutine[Any, Any, T]) -> T:
    """Run a command on its own event loop and return its result. It logs warnings, unless a level is set."""
    settings = loaded.settings
    level = "warning" if loaded.origins["log.level"] == "default" else settings.log.level
    logging.configure(level, settings.log.format, {})
    return asyncio.run(command)


@contextlib.asynccontextmanager
async def open_stores(settings: Settings, access: RemoteAccess, *wanted: Resource) -> AsyncIterator[OpenStores]:
    """Yield connected stores, and close them at the end.

    They are the configured stores. Stores that are not configured are those of the master, if ``cluster.master_url``
    and the credential of ``access`` are set, else those of the node that runs with ``node.data_dir``.

    Raises:
        StartupError: a store is neither configured nor found; a store or the master does not answer, or refuses the
            credential.
    """
    in_redis = Resource.EVENT_LOG in wanted and not uses_kafka(settings.kafka)
    needed = {*wanted, Resource.REDIS} if in_redis else {*wanted}
    settings = await _joined(settings, access, needed)
    registry = CollectorRegistry()
    clients: dict[Resource, Bus | Postgres | EventLog] = {}
    if Resource.REDIS in needed:
        url = _url_of_node_here(settings, Resource.REDIS)
        clients[Resource.REDIS] = Bus(settings.redis, BusMetrics(registry), url=url)
    if Resource.POSTGRES in needed:
        clients[Resource.POSTGRES] = Postgres(settings.postgres, url=_url_of_node_here(settings, Resource.POSTGRES))
    if Resource.EVENT_LOG in needed:
        bus = clients.get(Resource.REDIS) or Bus(
            settings.redis, BusMetrics(registry)
        )  # the Kafka event log does not use it
        assert isinstance(bus, Bus)  # noqa: S101 - made above
        clients[Resource.EVENT_LOG] = create_event_log(settings.kafka, settings.eventlog, bus, registry)
    async with contextlib.AsyncExitStack() as stack:
        for client in clients.values():
            stack.push_async_callback(client.stop)
            await client.start()
        yield OpenStores(registry, clients)


async def _joined(settings: Settings, access: RemoteAccess, needed: Iterable[Resource]) -> Settings:
    """Return the settings with the addresses from the master, if a join is needed."""
    join = command_join(settings, access, needed)
    if join is None:
        return settings
    master = join_master(settings, access)
    try:
        answer = await master.post(JOIN_PATH, join_request(settings, join), JoinAnswer)
    except (CredentialRefused, Unavailable) as error:
        raise StartupError(f"The master {master.url} gives no stores to work on: {error}") from None
    return completed(settings, join, answer)


def _url_of_node_here(settings: Settings, resource: Resource) -> str:
    """Return the address of the local node's embedded server; empty: the configuration has an address."""
    if is_configured(settings, resource):
        return ""
    data_dir = settings.node.data_dir
    url = endpoints.read(data_dir).get(f"{resource}_url")
    if not url:
        store, how = _HOW[resource]
        raise StartupError(
            f"There is no {store} to work on: no node with its own one runs with the data directory {data_dir}. "
            f"Start one, name its --data-dir, or give {how}."
        )
    return str(url)
