"""The access of slaves to the stores of a master."""

from airnode.bus.keys import PREFIX
from airnode.kernel.access import JoinToken, RedisAccess, RemoteAccess

CLUSTER_TOKEN = JoinToken(
    "token", "cluster token", "Credential with which nodes join, 32 characters or more, the same on all of them."
)
NODE_ACCESS = RemoteAccess(
    name="node",
    token=CLUSTER_TOKEN,
    redis=RedisAccess(keys=(f"{PREFIX}*",), channels=(f"{PREFIX}*",), categories=("list", "pubsub")),
    is_node=True,
    verifies_tokens=True,
    settings=("cluster.heartbeat_s", "cluster.lease_s", "recording.mode", "recording.student_download"),
)
