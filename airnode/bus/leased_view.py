"""A view of leased records in this process, so that requests are answered without a query to Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic

from airnode.bus.client import Bus, Handler
from airnode.bus.leased_records import LeasedRecords, R, RecordChange
from airnode.bus.leases import Leases
from airnode.errors import Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

_RESYNC_S = 2.0


class LeasedView(Service, Generic[R]):
    """Subscribes to the reports, and reads the leases: at the start, after a gap, and every two seconds.

    Args:
        group: name of the channel of the reports and of the group of the leases.
        kind: type of the reports and of the leases. The member of a lease must be the key of its record.
        failed: name of the log event of a failed sync. The sync is repeated.
        on_change: called for each change, at once.
        after_sync: awaited after each sync, to read other values from Redis.
        handlers: {type: its handler}, for the other types of messages on the same channel.
    """

    name = "leased-view"

    def __init__(
        self,
        bus: Bus,
        records: LeasedRecords[R],
        tasks: TaskScope,
        *,
        group: str,
        kind: type[R],
        failed: str,
        on_change: Callable[[RecordChange[R]], None],
        after_sync: Callable[[], Awaitable[None]] | None = None,
        handlers: Mapping[type[Any], Handler] | None = None,
    ) -> None:
        super().__init__()
        self.records = records
        self._bus = bus
        self._leases = Leases(bus)
        self._tasks = tasks
        self._group = group
        self._kind = kind
        self._failed = failed
        self._on_change = on_change
        self._after_sync = after_sync
        self._handlers = handlers or {}

    async def start(self) -> None:
        """Subscribe, and return once the leases have been read.

        Raises:
            Unavailable: Redis does not answer.
        """
        handlers = {self._kind: self._receive, **self._handlers}
        await self._bus.subscribe_types(self._group, handlers, on_resubscribed=self._resync_after_gap)
        await self._resync()
        self._tasks.spawn("resync", repeat_every(_RESYNC_S, self._resync, failed=self._failed))

    async def stop(self) -> None:
        """End the syncs; the bus ends the subscription."""
        await self._tasks.aclose()

    async def _receive(self, record: R) -> None:
        change = self.records.receive(record, asyncio.get_running_loop().time())
        if change is not None:
            self._on_change(change)

    async def _resync_after_gap(self) -> None:
        self.records.mark_gap()
        await self._resync()

    async def _resync(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            leased = await self._leases.read_leases(self._group, self._kind)
        except Unavailable:
            self.records.mark_gap()
            raise
        for change in self.records.sync(leased, began_s, loop.time()):
            self._on_change(change)
        if self._after_sync is not None:
            await self._after_sync()
