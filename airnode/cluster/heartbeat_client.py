"""How a slave reaches its master where it cannot reach Redis."""

from airnode.cluster.api_types import HeartbeatAnswer, HeartbeatRequest
from airnode.config.sections.cluster import ClusterSection
from airnode.errors import Unavailable
from airnode.web.master_client import CredentialRefused, MasterConnection


class HeartbeatClient:
    """Sends heartbeats to ``cluster.master_url`` with the cluster token."""

    def __init__(self, section: ClusterSection) -> None:
        self._master = MasterConnection(section.master_url, section.token.get_secret_value())

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatAnswer:
        """Send a heartbeat. Raises Unavailable; also for a refusal: the next heartbeat may be accepted."""
        try:
            return await self._master.post("/cluster/heartbeat", request, HeartbeatAnswer)
        except CredentialRefused as error:
            raise Unavailable(str(error)) from None
