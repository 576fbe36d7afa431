"""The masters' part of recordings: keeps the index equal to what nodes have, and sends orders to the right node."""

import asyncio
import secrets
from typing import Any

import structlog

from airnode.bus.client import Bus, Handler
from airnode.bus.recordings import (
    RECORDING_ORDERS,
    RECORDINGS,
    RecordingAction,
    RecordingAnswer,
    RecordingOrder,
    RecordingRecord,
    RecordingsAnnounced,
    RecordingsChanged,
    recordings_of,
)
from airnode.bus.records import Records
from airnode.cluster.recording_index import RecordingIndex
from airnode.errors import AirnodeError, Conflict, NotFound, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope

log = structlog.get_logger(__name__)

_RESYNC_S = 30.0
_RETRY_S = 1.0
_ANSWER_TIMEOUT_S = 5.0
_REFUSALS: dict[str, type[AirnodeError]] = {each.code: each for each in (Conflict, NotFound, Unavailable)}


class ClusterRecordings(Service):
    """Keeps the index equal to what nodes have, and sends orders."""

    name = "recordings"

    def __init__(self, bus: Bus, index: RecordingIndex, tasks: TaskScope) -> None:
        super().__init__()
        self.index = index
        self._bus = bus
        self._records = Records(bus)
        self._tasks = tasks
        #: {order_id: the future of its answer}.
        self._waiting: dict[str, asyncio.Future[RecordingAnswer]] = {}
        #: {node_id: number of recordings; None: unknown}, of nodes that rewrote their table since it was read.
        self._announced: dict[str, int | None] = {}
        #: Held while the index is written: an older table must not overwrite a newer message.
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Subscribe, then read the tables of all nodes."""
        handlers: dict[type[Any], Handler] = {
            RecordingsChanged: self._changed,
            RecordingAnswer: self._answered,
            RecordingsAnnounced: self._announced_again,
        }
        await self._bus.subscribe_types(RECORDINGS, handlers, on_resubscribed=self._resubscribed)
        self._announced.update(dict.fromkeys(await self.index.nodes()))
        self._tasks.spawn("sync", self._sync_repeatedly())

    async def stop(self) -> None:
        await self._tasks.aclose()

    async def order(self, node_id: str, action: RecordingAction, room: str, recording_id: str = "") -> RecordingAnswer:
        """Send an order to a node and return its answer.

        Raises:
            Conflict, NotFound, Unavailable: (409, 404, 503) the node refuses, with its reasons.
            Unavailable: (503) the node does not answer.
        """
        order = RecordingOrder(secrets.token_hex(8), node_id, action, room, recording_id)
        answer: asyncio.Future[RecordingAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[order.order_id] = answer
        try:
            await self._bus.publish(RECORDING_ORDERS, order)
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                found = await answer
        except TimeoutError:
            raise Unavailable(
                f"The node {node_id} did not answer; try again, or look at its log.", retry_after_s=1
            ) from None
        finally:
            self._waiting.pop(order.order_id, None)
        if found.refused:
            raise _REFUSALS.get(found.refused, Unavailable)(found.detail)
        return found

    async def _answered(self, answer: RecordingAnswer) -> None:
        waiting = self._waiting.get(answer.order_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _changed(self, message: RecordingsChanged) -> None:
        try:
            async with self._writing:
                await self.index.put(message.changed)
                await self.index.drop(message.node_id, message.gone)
        except Unavailable as error:
            log.warning("recordings_not_indexed", node_id=message.node_id, error=str(error))
            self._announced.setdefault(message.node_id, None)

    async def _announced_again(self, message: RecordingsAnnounced) -> None:
        self._announced[message.node_id] = message.count
        self._wake.set()

    async def _resubscribed(self) -> None:
        await self._remember_nodes()
        self._wake.set()

    async def _sync_repeatedly(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._sync()
            except Unavailable as error:
                log.warning("recordings_not_synced", error=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            try:
                async with asyncio.timeout(_RESYNC_S):
                    await self._wake.wait()
            except TimeoutError:
                await self._remember_nodes()

    async def _remember_nodes(self) -> None:
        """Mark the tables of all nodes to be read again: messages may have been lost."""
        try:
            nodes = await self.index.nodes()
        except Unavailable as error:
            log.warning("recordings_not_synced", error=str(error))
            return
        for node_id in nodes:
            self._announced.setdefault(node_id, None)

    async def _sync(self) -> None:
        """Read the tables that changed. If one is unexpectedly empty, Redis lost its data; the index is kept."""
        while self._announced:
            # Removed before the read: a change that is announced during the read may be missing in its result.
            node_id, count = self._announced.popitem()
            try:
                async with self._writing:
                    found = await self._records.all_records(recordings_of(node_id), RecordingRecord)
                    if found or count == 0:
                        await self.index.sync(node_id, found)
            except Unavailable:
                self._announced.setdefault(node_id, count)
                raise
