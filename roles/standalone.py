"""Everything on one machine: other roles by name, with nothing to configure."""

from collections.abc import Mapping
from types import MappingProxyType

from airnode.runtime.context import JoinContext, RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import RoleParts
from airnode.web.addresses import PortName


class StandaloneRole:
    """A whole classroom in one process; brings its own stores and secrets."""

    name = "standalone"
    summary = "everything on one machine, nothing to configure"
    needs: frozenset[Resource] = frozenset()
    embeds = frozenset({Resource.REDIS, Resource.POSTGRES})
    without: Mapping[Resource, str] = MappingProxyType({})
    includes = ("master", "slave")
    ports: frozenset[PortName] = frozenset()
    makes_secrets = True
    section = None

    def join(self, ctx: JoinContext) -> None:
        """It is a cluster by itself."""

    def build(self, ctx: RoleContext) -> RoleParts:
        """Nothing of its own."""
        return RoleParts()


ROLE = StandaloneRole()
