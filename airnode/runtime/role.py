"""The declaration of a role, and the order in which its services start."""

import graphlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from airnode.config.sections.base import Section
from airnode.errors import StartupError
from airnode.kernel.access import RemoteAccess
from airnode.kernel.service import Service
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.web.addresses import PortName
from airnode.web.health import HealthCheck


@dataclass(frozen=True, slots=True)
class Ordered:
    """A service that starts after other services of its role, and stops before them."""

    service: Service
    after: Sequence[Service]


def in_order(services: Sequence[Service]) -> list[Ordered]:
    """Return services that start one after another, and stop in the reverse order."""
    return [Ordered(service, after=services[:number]) for number, service in enumerate(services)]


@dataclass(frozen=True, slots=True)
class RoleParts:
    """The parts that a role adds to a node."""

    #: A service that is not in an :class:`Ordered` does not depend on others.
    services: Sequence[Service | Ordered] = ()
    #: {port: function that adds the role's routes to that port's application}
    routes: Mapping[PortName, Callable[[web.Application], None]] = field(default_factory=dict)
    checks: Sequence[HealthCheck] = ()
    #: Called in a thread before the stores start. Each raises StartupError if a service could not start later.
    preflight: Sequence[Callable[[], object]] = ()
    #: Returns what the role adds to ``endpoints.json`` and the banner. Called when the services run.
    endpoints: Callable[[], Awaitable[dict[str, object]]] | None = None


def _no_parts(ctx: RoleContext) -> RoleParts:
    return RoleParts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role; found through the entry-point group ``airnode.roles``.

    Attributes:
        build: makes and connects the role's parts. No I/O, no tasks.
        needs: the stores that the role needs.
        embeds: the stores that the node may run itself if no address is configured.
        without: {resource: sentence about what does not work without it}, for ``/health``.
        ports: HTTP ports that the role adds routes to.
        includes: roles that run with it.
        implied: it runs only because another role includes it; set by :func:`airnode.runtime.registry.resolve`.
        makes_secrets: the node generates a signing key and a teacher secret if none is configured. It is a complete
            cluster and does not join another.
        section: its own part of the configuration, ``[roles.<name>]``; None: the common sections are enough.
        access: its access to the stores of a master on another machine; None: it does not join.
        needs_cluster_secrets: it starts only if the signing key and the cluster token are configured, or the node
            generates its own.
    """

    name: str
    summary: str
    build: Callable[[RoleContext], RoleParts] = _no_parts
    needs: frozenset[Resource] = frozenset()
    embeds: frozenset[Resource] = frozenset()
    without: Mapping[Resource, str] = field(default_factory=dict)
    ports: frozenset[PortName] = frozenset()
    includes: tuple[str, ...] = ()
    implied: bool = False
    makes_secrets: bool = False
    section: type[Section] | None = None
    access: RemoteAccess | None = None
    needs_cluster_secrets: bool = False


def start_order(role: str, services: Sequence[Service | Ordered]) -> list[Service]:
    """Return the services of a role in an order in which each comes after the services it depends on.

    Raises:
        StartupError: a service depends on one that the role does not run, or services depend on each other.
    """
    graph = {each.service: each.after for each in map(_ordered, services)}
    for service, after in graph.items():
        for other in after:
            if other not in graph:
                raise StartupError(
                    f"The role {role} starts {service.name} after {other.name}, which is not among its services."
                )
    try:
        return list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        names = " -> ".join(each.name for each in reversed(error.args[1]))
        raise StartupError(f"The services of the role {role} wait for each other: {names}.") from None


def _ordered(entry: Service | Ordered) -> Ordered:
    return entry if isinstance(entry, Ordered) else Ordered(entry, ())
