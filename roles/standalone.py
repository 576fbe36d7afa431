"""Everything on one machine: a list of other roles, with nothing to configure."""

from airnode.runtime.resources import Resource
from airnode.runtime.role import Role

ROLE = Role(
    name="standalone",
    summary="everything on one machine, nothing to configure",
    embeds=frozenset({Resource.REDIS, Resource.POSTGRES}),
    includes=("master", "slave"),
    makes_secrets=True,
)
