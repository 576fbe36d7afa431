"""Whether the chat's Redis answers. Without it this node goes on alone, as a single server."""

import structlog
from prometheus_client import CollectorRegistry, Gauge

from airnode.errors import AirnodeError
from airnode.kernel.trouble import Trouble

log = structlog.get_logger(__name__)


class Outage:
    """Whether this node is cut off from Redis. Logged once when it begins, and once when it ends."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.trouble = Trouble("chat_single_server_mode", "chat_cluster_mode")
        status = Gauge("redis_connection_status", "1: the chat's Redis answers; 0: it does not.", registry=registry)
        status.set_function(lambda: 0.0 if self.trouble else 1.0)

    def __bool__(self) -> bool:
        return bool(self.trouble)

    def begin(self, error: AirnodeError) -> None:
        """Redis failed. Does nothing if that is known."""
        if not self.trouble:
            self.trouble.begin(
                error,
                detail="messages reach only members on this node, and are stored when Redis is back; check Redis",
            )

    def end(self, stored: int) -> None:
        """Redis is back. ``stored``: messages of this node that it has stored now."""
        self.trouble.end(stored_messages=stored)

    async def check(self) -> str:
        """Raise Unavailable while Redis does not answer, for ``/health``."""
        self.trouble.check()
        return "rooms span all nodes"
