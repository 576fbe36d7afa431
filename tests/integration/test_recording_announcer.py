"""The messages between a node that records and the masters, over a real Valkey."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from airnode.bus.recordings import (
    RECORDING_ORDERS,
    RECORDINGS,
    RecordingAnswer,
    RecordingOrder,
    RecordingsAnnounced,
    RecordingsChanged,
)
from airnode.config.sections.hls import HlsSection
from airnode.config.sections.recording import RecordingSection
from airnode.kernel.tasks import TaskScope
from airnode.media.recording.announcer import RecordingAnnouncer
from airnode.media.recording.catalog import RecordingCatalog
from airnode.media.recording.recorder import Recorder
from airnode.media.room.rooms import Rooms
from airnode.web.addresses import Addresses, PortName
from tests.support.bus import BusRig


def announcer(rig: BusRig, node_id: str, root: Path) -> RecordingAnnouncer:
    """Return the announcer of a node that does not record."""
    registry = CollectorRegistry()
    rooms = Rooms(
        HlsSection(),
        takeover_after_s=5,
        viewer_window_s=5,
        max_rooms=1,
        registry=registry,
        live_sent_bytes=Counter("sent_bytes", "Sent.", registry=registry),
    )
    catalog = RecordingCatalog(root)
    section = RecordingSection(mode="off")
    recorder = Recorder(rooms, catalog, section, node_id, registry, TaskScope("recorder"))
    addresses = Addresses("", "127.0.0.1", False, {PortName.MEDIA: 8080})
    return RecordingAnnouncer(rig.bus, catalog, recorder, node_id, addresses, TaskScope("announcer"))


async def test_a_node_that_starts_and_gets_an_order_drops_no_message(valkey_url: str, tmp_path: Path):
    master, rigs = BusRig(valkey_url), {name: BusRig(valkey_url) for name in ("node-1", "node-2")}
    messages: asyncio.Queue[object] = asyncio.Queue()

    async def take(message: object) -> None:
        messages.put_nowait(message)

    for rig in (master, *rigs.values()):
        await rig.bus.start()
    nodes = [announcer(rig, node_id, tmp_path / node_id) for node_id, rig in rigs.items()]
    try:
        for kind in (RecordingsAnnounced, RecordingsChanged, RecordingAnswer):
            await master.bus.subscribe(RECORDINGS, kind, take)
        async with asyncio.timeout(20):
            with capture_logs() as logs:
                for node_id, node in zip(rigs, nodes, strict=True):
                    await node.start()
                    assert await messages.get() == RecordingsAnnounced(node_id, 0)
                for order_id, node_id in enumerate(rigs):
                    await master.bus.publish(
                        RECORDING_ORDERS, RecordingOrder(str(order_id), node_id, "start", "stream")
                    )
                    answer = await messages.get()
                    assert isinstance(answer, RecordingAnswer)
                    assert (answer.order_id, answer.refused) == (str(order_id), "conflict")
        # Redis delivers in order: whoever answered an order has received everything that was published before.
        assert [line for line in logs if line["event"] == "bus_message_dropped"] == []
        assert [rig.dropped("unknown_type") for rig in (master, *rigs.values())] == [0, 0, 0]
    finally:
        for node in nodes:
            await node.stop()
        for rig in (master, *rigs.values()):
            await rig.bus.stop()
