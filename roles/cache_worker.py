"""The cache-worker: keeps users and products of PostgreSQL in the Redis."""

from collections.abc import Mapping
from types import MappingProxyType

from airnode.bus.leader_election import Candidacy
from airnode.bus.leases import Leases
from airnode.pipeline.cache.metrics import CacheMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore
from airnode.pipeline.cache.worker import LEASE_S, CacheWorker
from airnode.pipeline.joining import join
from airnode.runtime.context import JoinContext, RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Join, RoleParts
from airnode.web.addresses import PortName
from airnode.web.health import HealthCheck


class CacheWorkerRole:
    """Rows in, cache out; several may run, and one of them acts."""

    name = "cache-worker"
    summary = "keeps users and products in the Redis, the newest and the others in turn"
    needs = frozenset({Resource.REDIS, Resource.POSTGRES})
    embeds: frozenset[Resource] = frozenset()
    without: Mapping[Resource, str] = MappingProxyType(
        {
            Resource.REDIS: "The cache is not renewed, and nobody can read it.",
            Resource.POSTGRES: "The cache is not renewed; readers go on with what is in it.",
        }
    )
    includes: tuple[str, ...] = ()
    ports: frozenset[PortName] = frozenset()
    makes_secrets = False
    section = None

    def join(self, ctx: JoinContext) -> Join | None:
        """Ask the master for its stores, where none are configured."""
        return join(ctx, self.name)

    def build(self, ctx: RoleContext) -> RoleParts:
        """One worker."""
        node = ctx.identity
        worker = CacheWorker(
            Candidacy(Leases(ctx.bus), "cache-worker", node.node_id, node.node_name, lease_s=LEASE_S),
            CacheStore(ctx.bus),
            CacheSource(ctx.postgres),
            ctx.settings.cache,
            CacheMetrics(ctx.registry),
            node_name=node.node_name,
            tasks=ctx.tasks("cache-worker"),
        )
        return RoleParts(services=(worker,), checks=(HealthCheck("cache", worker.check, critical=False),))


ROLE = CacheWorkerRole()
