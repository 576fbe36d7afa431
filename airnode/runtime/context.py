"""What a role gets to build with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.config.model import Settings
from airnode.config.sections.base import Section
from airnode.kernel.tasks import TaskScope
from airnode.runtime.resources import Resource
from airnode.runtime.sharing import PipelineUrls
from airnode.store.eventlog.log import EventLog
from airnode.store.postgres import Postgres
from airnode.web.addresses import Addresses
from airnode.web.health import Identity
from airnode.web.tokens import Tokens


@dataclass(frozen=True, slots=True)
class JoinContext:
    """What a role gets before there are stores.

    Attributes:
        has_own_secrets: the node makes its own secrets: it is a whole cluster by itself.
        addresses: its ports are bound by the time that what ``Role.join`` returned is awaited.
    """

    settings: Settings
    identity: Identity
    addresses: Addresses
    has_own_secrets: bool


@dataclass(frozen=True, slots=True)
class RoleContext:
    """Typed parts of the node, handed to ``Role.build``; unpacked there and passed on by section.

    Asking for a resource that the role does not declare in ``needs`` raises LookupError.
    """

    role: str
    settings: Settings
    #: The role's own section, if it has one.
    section: Section | None
    identity: Identity
    data_dir: Path
    registry: CollectorRegistry
    addresses: Addresses
    tokens: Tokens
    resources: dict[Resource, Bus | Postgres | EventLog]
    #: Told when a part fails that the node cannot do without.
    fail: Callable[[str, BaseException], None]
    #: The bus's address for a slave that reached this machine under the given host; empty: it cannot be shared.
    shared_redis_url: Callable[[str], str]
    #: The same of the embedded stores, for a role of the pipeline.
    pipeline_urls: Callable[[str], PipelineUrls]

    def tasks(self, name: str) -> TaskScope:
        """A task scope for a service of this role; a task that fails in it fails the node."""
        return TaskScope(name, self.fail)

    @property
    def bus(self) -> Bus:
        """The Redis bus."""
        found = self._resource(Resource.REDIS)
        assert isinstance(found, Bus)  # noqa: S101 - an invariant of the node
        return found

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL pool."""
        found = self._resource(Resource.POSTGRES)
        assert isinstance(found, Postgres)  # noqa: S101 - an invariant of the node
        return found

    @property
    def event_log(self) -> EventLog:
        """The event log."""
        found = self._resource(Resource.EVENT_LOG)
        assert not isinstance(found, Bus | Postgres)  # noqa: S101 - an invariant of the node
        return found

    def _resource(self, resource: Resource) -> Bus | Postgres | EventLog:
        if resource not in self.resources:
            raise LookupError(f"role {self.role} does not declare that it needs {resource}")
        return self.resources[resource]
