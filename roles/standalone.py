"""Everything on one machine: a list of other roles, with nothing to configure."""

import importlib.util
from importlib.metadata import entry_points

from airnode.runtime.registry import GROUP
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role

#: With the extra ``stt``, this machine transcribes too. While a wheel is built, no role is installed.
_SPEECH = tuple(
    point.name
    for point in entry_points(group=GROUP, name="stt-worker")
    if importlib.util.find_spec("faster_whisper") is not None
)

ROLE = Role(
    name="standalone",
    summary="everything on one machine, nothing to configure",
    embeds=frozenset({Resource.REDIS, Resource.POSTGRES}),
    includes=("master", "slave", *_SPEECH),
    makes_secrets=True,
)
