"""The argument of ``Role.build``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.jobs.jobs import Jobs
from airnode.config.model import Settings
from airnode.config.sections.base import Section
from airnode.kernel.access import RemoteAccess, StoreUrls
from airnode.kernel.tasks import TaskScope
from airnode.runtime.resources import Resource
from airnode.store.eventlog.log import EventLog
from airnode.store.postgres import Postgres
from airnode.web.addresses import Addresses
from airnode.web.health import Identity
from airnode.web.tokens import Tokens


@dataclass(frozen=True, slots=True)
class RoleContext:
    """The parts of the node that ``Role.build`` gets. It passes single parts and sections to the role's services.

    The property of a resource that the role does not declare in ``needs`` raises LookupError.
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
    #: The job queues of the node's Redis.
    queues: Jobs | None
    #: Called when a part fails without which the node cannot run.
    fail: Callable[[str, BaseException], None]
    #: {name: access} that roles on other machines may ask this node for.
    accesses: Mapping[str, RemoteAccess]
    #: Returns the addresses of this node's stores for an access and the host name under which a role reached this node.
    remote_urls: Callable[[RemoteAccess, str], StoreUrls]
    #: The role runs only because another role includes it.
    implied: bool = False

    def tasks(self, name: str) -> TaskScope:
        """Return a task scope for a service of this role. A task that fails in it fails the node."""
        return TaskScope(name, self.fail)

    @property
    def bus(self) -> Bus:
        found = self._resource(Resource.REDIS)
        assert isinstance(found, Bus)  # noqa: S101 - an invariant of the node
        return found

    @property
    def jobs(self) -> Jobs:
        """Return the job queues on Redis: one for all roles of the node."""
        self._resource(Resource.REDIS)
        assert self.queues is not None  # noqa: S101 - an invariant of the node
        return self.queues

    @property
    def postgres(self) -> Postgres:
        """Return the PostgreSQL pool."""
        found = self._resource(Resource.POSTGRES)
        assert isinstance(found, Postgres)  # noqa: S101 - an invariant of the node
        return found

    @property
    def event_log(self) -> EventLog:
        found = self._resource(Resource.EVENT_LOG)
        assert not isinstance(found, Bus | Postgres)  # noqa: S101 - an invariant of the node
        return found

    def _resource(self, resource: Resource) -> Bus | Postgres | EventLog:
        if resource not in self.resources:
            raise LookupError(f"role {self.role} does not declare that it needs {resource}")
        return self.resources[resource]
