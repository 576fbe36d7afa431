"""A demonstration of the pipeline. It fills an empty database with made-up customers and courses, which the other roles
of the pipeline cache, order and insert. `airnode --demo-pipeline` runs it with these roles.
"""

from airnode.pipeline.seed.seeder import DemoSeeder
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role, RoleParts
from airnode.web.addresses import PortName


def build(ctx: RoleContext) -> RoleParts:
    async def endpoints() -> dict[str, object]:
        return {
            "metrics_url": f"{ctx.addresses.url(PortName.HTTP)}/metrics",
            "cache_monitor": f"airnode cache-monitor --data-dir {ctx.data_dir}",
        }

    return RoleParts(services=(DemoSeeder(ctx.postgres),), endpoints=endpoints)


#: Name this role before the roles that use its rows, so that it starts before them.
ROLE = Role(
    name="demo-pipeline",
    summary="fills an empty database with made-up customers and courses",
    build=build,
    needs=frozenset({Resource.POSTGRES}),
)
