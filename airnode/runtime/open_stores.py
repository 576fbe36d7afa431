"""Stores for a command that runs once, beside a node or without one."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.model import Settings
from airnode.errors import StartupError
from airnode.kernel import logging
from airnode.runtime.endpoints import FILE_NAME
from airnode.runtime.resources import Resource
from airnode.store.eventlog.log import EventLog
from airnode.store.eventlog.open_log import event_log, on_kafka
from airnode.store.postgres import Postgres

if TYPE_CHECKING:
    from airnode.config.loading import Loaded

T = TypeVar("T")

_WHAT = {
    Resource.REDIS: ("Redis", "--redis-url (REDIS_URL)"),
    Resource.POSTGRES: ("PostgreSQL", "--postgres-url (POSTGRES_HOST)"),
}


@dataclass(frozen=True, slots=True)
class OpenStores:
    """Started clients; asking for one that was not wanted raises LookupError.

    Attributes:
        registry: what the clients count goes here, and nowhere else.
    """

    registry: CollectorRegistry
    clients: Mapping[Resource, Bus | Postgres | EventLog]

    @property
    def bus(self) -> Bus:
        """The Redis bus."""
        found = self.clients[Resource.REDIS]
        assert isinstance(found, Bus)  # noqa: S101 - see open_stores
        return found

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL pool; its schema is as it was found."""
        found = self.clients[Resource.POSTGRES]
        assert isinstance(found, Postgres)  # noqa: S101 - see open_stores
        return found

    @property
    def event_log(self) -> EventLog:
        """The event log."""
        found = self.clients[Resource.EVENT_LOG]
        assert not isinstance(found, Bus | Postgres)  # noqa: S101 - see open_stores
        return found


def run(loaded: "Loaded", doing: Coroutine[Any, Any, T]) -> T:
    """Run a command on a loop of its own; the log shows warnings only, unless its level was asked for."""
    settings = loaded.settings
    level = "warning" if loaded.origins["log.level"] == "default" else settings.log.level
    logging.configure(level, settings.log.format, {})
    return asyncio.run(doing)


@contextlib.asynccontextmanager
async def open_stores(settings: Settings, *wanted: Resource) -> AsyncIterator[OpenStores]:
    """Connect to the configured stores; to those of the node that runs with ``node.data_dir`` where none is configured.

    Raises:
        StartupError: a store is neither configured nor found, does not answer, or refuses us.
    """
    registry = CollectorRegistry()
    clients: dict[Resource, Bus | Postgres | EventLog] = {}
    in_redis = Resource.EVENT_LOG in wanted and not on_kafka(settings)
    if Resource.REDIS in wanted or in_redis:
        clients[Resource.REDIS] = Bus(settings.redis, BusMetrics(registry), url=_url(settings, Resource.REDIS))
    if Resource.POSTGRES in wanted:
        clients[Resource.POSTGRES] = Postgres(settings.postgres, url=_url(settings, Resource.POSTGRES))
    if Resource.EVENT_LOG in wanted:
        bus = clients.get(Resource.REDIS) or Bus(settings.redis, BusMetrics(registry))  # Kafka's log leaves it alone
        assert isinstance(bus, Bus)  # noqa: S101 - made above
        clients[Resource.EVENT_LOG] = event_log(settings, bus, registry)
    async with contextlib.AsyncExitStack() as stack:
        for client in clients.values():
            stack.push_async_callback(client.stop)
            await client.start()
        yield OpenStores(registry, clients)


def _url(settings: Settings, resource: Resource) -> str:
    """Empty where the section says it; else the address of the embedded server of the node here."""
    section = settings.redis if resource is Resource.REDIS else settings.postgres
    if section.url or section.host:
        return ""
    data_dir = settings.node.data_dir
    url = _endpoints(data_dir).get(f"{resource}_url")
    if not url:
        what, how = _WHAT[resource]
        raise StartupError(
            f"There is no {what} to work on: no node with its own one runs with the data directory {data_dir}. "
            f"Start one, name its --data-dir, or give {how}."
        )
    return str(url)


def _endpoints(data_dir: Path) -> Mapping[str, object]:
    """What the node here says of itself; nothing while none is ready."""
    path = data_dir.expanduser() / FILE_NAME
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StartupError(f"{path} cannot be read: {error}.") from None
    return found if isinstance(found, dict) else {}
