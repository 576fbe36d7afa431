"""What the chat on the masters' own ports does, for the admin page: nodes without a player, so without a node record.

Each master reports its chat with a lease, as nodes do in their heartbeats, and reads the reports of all.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from airnode.bus.client import Bus
from airnode.bus.leased_records import LeasedRecords, RecordRules
from airnode.bus.leased_view import LeasedView
from airnode.bus.leases import Leases
from airnode.bus.messages import ChatCounts, ChatLoad
from airnode.cluster.heartbeat import chat_load
from airnode.config.sections.cluster import ClusterSection
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

#: Channel of the reports, and group of the leases.
_MASTERS = "masters"


class MasterRecord(msgspec.Struct, frozen=True):
    """A master's report, and the value of its lease.

    Attributes:
        beat_at: unix seconds of the master's clock.
    """

    node_id: str
    node_name: str
    beat_at: float
    chat: ChatLoad


class MasterChats(Service):
    """Reports this master's chat, and knows those of all masters.

    Args:
        counts: returns what the chat counts; None: a slave in this process has the chat, and reports it.
    """

    name = "master-chats"

    def __init__(
        self,
        bus: Bus,
        section: ClusterSection,
        *,
        node_id: str,
        node_name: str,
        counts: Callable[[], ChatCounts] | None,
        tasks: Callable[[str], TaskScope],
    ) -> None:
        super().__init__()
        self._leases = Leases(bus)
        self._section = section
        self._node_id, self._node_name = node_id, node_name
        self._counts = counts
        self._tasks = tasks("master-chats")
        #: The counts at the last report, and when that was (monotonic seconds).
        self._counted = (time.monotonic(), ChatCounts())
        rules: RecordRules[MasterRecord] = RecordRules(
            key=lambda record: record.node_id, order=lambda record: record.beat_at
        )
        self._view = LeasedView(
            bus,
            LeasedRecords(rules),
            tasks("master-chats-view"),
            group=_MASTERS,
            kind=MasterRecord,
            failed="master_chats_not_synced",
            on_change=lambda change: None,
        )

    async def start(self) -> None:
        """Follow the reports, and report from now on."""
        await self._view.start()
        if self._counts is not None:
            beat = repeat_every(self._section.heartbeat_s, self._beat, failed="master_chat_not_reported")
            self._tasks.spawn("report", beat)

    async def stop(self) -> None:
        await self._tasks.aclose()
        await self._view.stop()

    def records(self) -> list[MasterRecord]:
        """Return the masters whose ports have a chat of their own."""
        return list(self._view.records)

    async def _beat(self) -> None:
        if self._counts is None:
            return
        (then_s, then), now_s, now = self._counted, time.monotonic(), self._counts()
        self._counted = (now_s, now)
        record = MasterRecord(self._node_id, self._node_name, time.time(), chat_load(then, now, now_s - then_s))
        # Also without Redis, this master's own page shows how its chat is.
        self._view.records.receive(record, asyncio.get_running_loop().time())
        await self._leases.report(_MASTERS, self._node_id, record, self._section.lease_s)
