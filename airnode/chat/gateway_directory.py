"""Where the gateways of all nodes are: each keeps a lease, and reads the others' when it needs one."""

import asyncio

import msgspec
import structlog

from airnode.bus.client import Bus
from airnode.bus.leases import Leases
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.urls import url_host
from airnode.web.addresses import Addresses, PortName

log = structlog.get_logger(__name__)

_GROUP = "chat-gateways"
_BEAT_S, _LEASE_S = 5.0, 20.0
#: The table is read again when it is older than this; a gateway that is not in it, sooner.
_FRESH_S, _MISSING_FRESH_S = 10.0, 0.2


class GatewayRecord(msgspec.Struct, frozen=True):
    """The lease of one gateway. ``host`` empty: it is on the master's machine."""

    name: str
    scheme: str
    host: str
    port: int


class GatewayDirectory(Service):
    """Announces this node's gateway, and finds the others.

    Args:
        name: of this gateway, unique in the cluster; its sids carry it.
        port: where it serves ``/socket.io/``; its number is known when the service starts.
        default_host: of gateways that announce no host.
    """

    name = "chat-gateway-directory"

    def __init__(
        self, bus: Bus, gateway: str, addresses: Addresses, port: PortName, default_host: str, tasks: TaskScope
    ) -> None:
        super().__init__()
        self._leases = Leases(bus)
        self._gateway = gateway
        self._addresses = addresses
        self._port = port
        self._default_host = default_host
        self._tasks = tasks
        #: {name: gateway} as last read, and when that was.
        self._gateways: dict[str, GatewayRecord] = {}
        self._read_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Announce the gateway until the service stops.

        Raises:
            Unavailable: Redis does not answer.
        """
        await self._announce()
        self._tasks.spawn("announce", repeat_every(_BEAT_S, self._announce, failed="chat_gateway_not_announced"))

    async def stop(self) -> None:
        """Take the announcement back."""
        await self._tasks.aclose()
        try:
            await self._leases.drop_lease(_GROUP, self._gateway)
        except Unavailable as error:
            log.debug("chat_gateway_not_withdrawn", error=str(error))

    async def _announce(self) -> None:
        addresses = self._addresses
        record = GatewayRecord(self._gateway, addresses.scheme, url_host(addresses.host), addresses.ports[self._port])
        await self._leases.put_lease(_GROUP, self._gateway, record, _LEASE_S)

    async def find(self, name: str) -> str | None:
        """Return the base URL of a gateway; None: there is none of this name.

        While Redis does not answer, the gateways stay where they were last.
        """
        async with self._reading:
            record = self._gateways.get(name)
            age_s = asyncio.get_running_loop().time() - self._read_at_s
            if age_s > (_FRESH_S if record is not None else _MISSING_FRESH_S):
                await self._read()
                record = self._gateways.get(name)
        if record is None:
            return None
        return f"{record.scheme}://{record.host or self._default_host}:{record.port}"

    async def _read(self) -> None:
        self._read_at_s = asyncio.get_running_loop().time()
        try:
            self._gateways = await self._leases.read_leases(_GROUP, GatewayRecord)
        except Unavailable as error:
            log.debug("chat_gateways_not_read", error=str(error))
