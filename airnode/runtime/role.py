"""What a role is: a declaration, and one function that wires services together."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from airnode.config.model import Settings
from airnode.config.sections.base import Section
from airnode.kernel.service import Service
from airnode.runtime.resources import Resource
from airnode.web.addresses import PortName
from airnode.web.health import HealthCheck

if TYPE_CHECKING:
    from airnode.runtime.context import JoinContext, RoleContext


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
