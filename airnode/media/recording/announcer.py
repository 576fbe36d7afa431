"""Publishes the recordings of this node, and executes orders; see :mod:`airnode.bus.recordings`."""

import asyncio

import structlog
from msgspec.structs import replace

from airnode.bus.client import Bus
from airnode.bus.recordings import (
    RECORDING_ORDERS,
    RECORDINGS,
    RecordingAnswer,
    RecordingOrder,
    RecordingRecord,
    RecordingsAnnounced,
    RecordingsChanged,
    recordings_in,
    recordings_of,
)
from airnode.bus.records import Records
from airnode.errors import AirnodeError, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.urls import url_host
from airnode.media.recording.catalog import Recording, RecordingCatalog
from airnode.media.recording.recorder import Recorder
from airnode.web.addresses import Addresses, PortName

log = structlog.get_logger(__name__)

#: Intervals at which the progress of running recordings is published, and at which all records are compared.
_PROGRESS_S, _COMPARE_S = 5.0, 60.0


class RecordingAnnouncer(Service):
    """Keeps the records on the bus equal to the catalog. Starts before the recorder, and stops after it."""

    name = "recording-announcer"

    def __init__(
        self,
        bus: Bus,
        catalog: RecordingCatalog,
        recorder: Recorder,
        node_id: str,
        addresses: Addresses,
        tasks: TaskScope,
    ) -> None:
        super().__init__()
        self._bus = bus
        self._records = Records(bus)
        self._catalog = catalog
        self._recorder = recorder
        self._node_id = node_id
        self._addresses = addresses
        self._tasks = tasks
        #: {recording_id: room} of recordings whose change is not published yet. Bounded by the number of recordings.
        self._changed: dict[str, str] = {}
        self._wake = asyncio.Event()
        catalog.on_change(self._mark)

    async def start(self) -> None:
        """Publish all recordings, and start to publish every change."""
        await self._bus.subscribe(RECORDING_ORDERS, RecordingOrder, self._receive_order)
        await self._compare()
        self._tasks.spawn("publish", self._publish_forever())

    async def stop(self) -> None:
        """Publish the last changes."""
        await self._tasks.aclose()
        try:
            await self._publish_changes()
        except Unavailable as error:
            log.warning("recordings_not_announced", error=str(error))

    def _mark(self, recording: Recording) -> None:
        self._changed[recording.recording_id] = recording.room
        self._wake.set()

    def record(self, recording: Recording) -> RecordingRecord:
        """Return the record that is published for a recording."""
        return replace(
            recording.record(self._node_id),
            host=url_host(self._addresses.host),
            scheme=self._addresses.scheme,
            media_port=self._addresses.ports[PortName.MEDIA],
        )

    # -- publishing ----------------------------------------------------------------------------------------------------

    async def _publish_forever(self) -> None:
        loop = asyncio.get_running_loop()
        compared_s = loop.time()
        while True:
            try:
                async with asyncio.timeout(_PROGRESS_S):
                    await self._wake.wait()
            except TimeoutError:
                for recording in self._catalog.all():
                    if recording.status == "recording":
                        self._changed[recording.recording_id] = recording.room
            self._wake.clear()
            try:
                await self._publish_changes()
                if loop.time() - compared_s >= _COMPARE_S:
                    compared_s = loop.time()
                    await self._compare()
            except Unavailable as error:
                log.warning("recordings_not_announced", error=str(error))
                await asyncio.sleep(1.0)
                self._wake.set()

    async def _publish_changes(self) -> None:
        """Write and publish the changes. A change that fails is kept for the next call."""
        for recording_id, room in list(self._changed.items()):
            found = self._catalog.get(room, recording_id)
            if found is not None and found.status == "recording" and not found.duration_s:
                self._changed.pop(recording_id, None)  # the recording is still empty
                continue
            await self._write(recording_id, room, self.record(found) if found is not None else None)
            self._changed.pop(recording_id, None)

    async def _write(self, recording_id: str, room: str, record: RecordingRecord | None) -> None:
        for table in (recordings_in(room), recordings_of(self._node_id)):
            if record is not None:
                await self._records.set_record(table, recording_id, record)
            else:
                await self._records.drop_record(table, recording_id)
        message = RecordingsChanged(self._node_id, [record] if record else [], [] if record else [recording_id])
        await self._bus.publish(RECORDINGS, message)

    async def _compare(self) -> None:
        """Correct the records on the bus: Redis may have lost data, and files may have been removed."""
        published = await self._records.all_records(recordings_of(self._node_id), RecordingRecord)
        here = {each.recording_id: self.record(each) for each in self._catalog.all() if each.duration_s}
        for recording_id, record in published.items():
            if recording_id not in here:
                await self._records.drop_record(recordings_in(record.room), recording_id)
        for recording_id, record in here.items():
            if published.get(recording_id) != record:
                await self._records.set_record(recordings_in(record.room), recording_id, record)
        await self._records.replace_records(recordings_of(self._node_id), here)
        await self._bus.publish(RECORDINGS, RecordingsAnnounced(self._node_id, len(here)))

    # -- orders -------------------------------------------------------------------------------------------------------

    async def _receive_order(self, order: RecordingOrder) -> None:
        if order.node_id != self._node_id:
            return
        log.info("recording_ordered", action=order.action, room=order.room, recording_id=order.recording_id or None)
        answer = RecordingAnswer(order.order_id)
        try:
            answer = replace(answer, recording_id=await self._execute(order))
        except AirnodeError as error:
            answer = replace(answer, refused=error.code, detail=error.detail)
        await self._bus.publish(RECORDINGS, answer)

    async def _execute(self, order: RecordingOrder) -> str:
        """Return the id of the recording that runs after the order; empty: no recording runs."""
        if order.action == "start":
            return self._recorder.record(order.room)
        if order.action == "stop":
            self._recorder.end(order.room)
        else:
            await self._recorder.remove(order.room, order.recording_id)
            await self._publish_changes()
        return ""
