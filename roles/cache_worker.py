"""The cache-worker: copies users and products from PostgreSQL to Redis. Only one of several workers is active."""

from airnode.bus.leader_election import LeaderElection
from airnode.bus.leases import Leases
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.cache.metrics import CacheMetrics
from airnode.pipeline.cache.source import CacheSource
from airnode.pipeline.cache.store import CacheStore
from airnode.pipeline.cache.worker import LEASE_S, CacheWorker
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts
from airnode.web.health import HealthCheck


def build(ctx: RoleContext) -> RoleParts:
    node = ctx.identity
    worker = CacheWorker(
        LeaderElection(Leases(ctx.bus), "cache-worker", node.node_id, node.node_name, lease_s=LEASE_S),
        CacheStore(ctx.bus),
        CacheSource(ctx.postgres),
        ctx.settings.cache,
        CacheMetrics(ctx.registry),
        node_name=node.node_name,
        tasks=ctx.tasks("cache-worker"),
    )
    return RoleParts(services=(worker,), checks=(HealthCheck("cache", worker.check, critical=False),))


ROLE = Role(
    name="cache-worker",
    summary="keeps users and products in the Redis, the newest and the others in turn",
    build=build,
    access=PIPELINE_ACCESS,
    needs=frozenset({Resource.REDIS, Resource.POSTGRES}),
    without={
        Resource.REDIS: "The cache is not renewed, and nobody can read it.",
        Resource.POSTGRES: "The cache is not renewed; readers go on with what is in it.",
    },
)
