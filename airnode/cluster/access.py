"""The access of slaves to the stores of a master."""

from airnode.bus.keys import PREFIX
from airnode.kernel.access import JoinToken, RedisAccess, RemoteAccess

CLUSTER_TOKEN = JoinToken(
    "token", "cluster token", "Credential with which nodes join, 32 characters or more, the same on all of them."
)
NODE_ACCESS = RemoteAccess(
    name="node",
    token=CLUSTER_TOKEN,
    redis=RedisAccess(
        keys=(f"{PREFIX}*",),
        # Besides ours: what @socket.io/redis-adapter uses, for chat.bridge.
        channels=(f"{PREFIX}*", "socket.io#/#*", "socket.io-request#/#", "socket.io-response#/#"),
        categories=("list", "pubsub"),
    ),
    is_node=True,
    verifies_tokens=True,
    settings=("cluster.heartbeat_s", "cluster.lease_s", "recording.mode", "recording.student_download"),
)
