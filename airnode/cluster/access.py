"""The access of slaves to the stores of a master."""

from airnode.bus.keys import PREFIX
from airnode.kernel.access import RedisAccess, RemoteAccess

NODE_ACCESS = RemoteAccess(
    name="node",
    token="token",  # noqa: S106 - the name of a key
    redis=RedisAccess(keys=(f"{PREFIX}*",), channels=(f"{PREFIX}*",), categories=("list", "pubsub")),
    is_node=True,
    verifies_tokens=True,
    settings=("cluster.heartbeat_s", "cluster.lease_s", "recording.mode", "recording.student_download"),
)
