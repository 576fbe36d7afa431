"""What a role is: a declaration, and one function that wires services together."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from airnode.config.model import Section, Settings
from airnode.runtime.service import Service

if TYPE_CHECKING:
    from airnode.runtime.context import JoinContext, RoleContext


class Resource(enum.StrEnum):
    """What a role may need; the node opens it, or starts an embedded one."""

    REDIS = "redis"
    POSTGRES = "postgres"
    #: Kept in the Redis where there is no Kafka: a role that needs it needs Redis as well.
    EVENT_LOG = "event_log"


class PortName(enum.StrEnum):
    """The HTTP ports of a node."""

    HTTP = "http"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One line of ``/health``.

    Attributes:
        check: raises when it is not well; its text is shown. Returning a string adds a remark.
        critical: readiness is 503 while it fails; otherwise the status is only ``degraded``.
        while_starting: it says what the node waits for.
        meanwhile: {role: what does not work while it fails}, in words.
    """

    name: str
    check: Callable[[], Awaitable[str | None]]
    timeout_s: float = 2.0
    critical: bool = True
    while_starting: bool = False
    meanwhile: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoleParts:
    """What a role brings to a node."""

    services: Sequence[Service] = ()
    #: {port: function that adds the role's routes to that port's application}
    routes: dict[PortName, Callable[[web.Application], None]] = field(default_factory=dict)
    checks: Sequence[HealthCheck] = ()
    #: What the role adds to ``endpoints.json`` and the banner, asked for when the node is ready.
    endpoints: Callable[[], Awaitable[dict[str, object]]] | None = None


#: Completes the settings with what the cluster says; may take as long as it takes.
Join = Callable[[Settings], Awaitable[Settings]]


class Role(Protocol):
    """A role; found through the entry-point group ``airnode.roles``."""

    name: str
    summary: str
    #: What must be there.
    needs: frozenset[Resource]
    #: What of it the node may run itself where no address is configured.
    embeds: frozenset[Resource]
    #: {resource: what does not work here while it is away}, a sentence each, for ``/health``.
    without: Mapping[Resource, str]
    #: HTTP ports it adds routes to.
    ports: frozenset[PortName]
    #: Roles that run along.
    includes: tuple[str, ...]
    #: Whether the node makes its own signing key and teacher secret where none is configured.
    makes_secrets: bool
    #: Its own part of the configuration, ``[roles.<name>]``; None: the common sections do.
    section: type[Section] | None

    def join(self, ctx: "JoinContext") -> Join | None:
        """Say what must be awaited before the stores are opened; None: nothing. No I/O here.

        Raises:
            ConfigError: the settings lack what this role needs.
        """
        ...

    def build(self, ctx: "RoleContext") -> RoleParts:
        """Wire the role's parts. No I/O, no tasks."""
        ...
