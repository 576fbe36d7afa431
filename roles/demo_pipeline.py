"""A demonstration of the pipeline: an empty database gets made-up customers and courses, so that there is something to
cache, to order and to land. `airnode --demo-pipeline` runs it with the pipeline's other roles.
"""

from collections.abc import Mapping
from types import MappingProxyType

from airnode.pipeline.seed.demo import Furnishing
from airnode.runtime.context import JoinContext, RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import RoleParts
from airnode.web.addresses import PortName


class DemoPipelineRole:
    """Something to begin with. It stands before the other roles: what starts after it finds the rows."""

    name = "demo-pipeline"
    summary = "fills an empty database with made-up customers and courses"
    needs = frozenset({Resource.POSTGRES})
    embeds: frozenset[Resource] = frozenset()
    without: Mapping[Resource, str] = MappingProxyType({})
    includes: tuple[str, ...] = ()
    ports: frozenset[PortName] = frozenset()
    makes_secrets = False
    section = None

    def join(self, ctx: JoinContext) -> None:
        """It needs no cluster."""

    def build(self, ctx: RoleContext) -> RoleParts:
        """Done once the node is ready."""

        async def endpoints() -> dict[str, object]:
            return {
                "metrics_url": f"{ctx.addresses.url(PortName.HTTP)}/metrics",
                "cache_monitor": f"airnode cache-monitor --data-dir {ctx.data_dir}",
            }

        return RoleParts(services=(Furnishing(ctx.postgres),), endpoints=endpoints)


ROLE = DemoPipelineRole()
