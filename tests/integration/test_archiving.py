"""Two masters: one table of stream keys, and classes that are archived while somebody begins to publish."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from airnode.bus.leases import Leases
from airnode.bus.messages import ROOMS, STREAM_KEYS, ClassRecord, RoomState
from airnode.bus.records import Records
from airnode.cluster.archiving import Archiving
from airnode.cluster.classes import Classes
from airnode.cluster.codes import key_digest
from airnode.cluster.room_states import RoomStates
from airnode.cluster.stream_keys import StreamKeyPublisher
from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Conflict, NotFound, Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.store.migrate import load, migrate
from airnode.store.postgres import Postgres
from tests.support.bus import BusRig


@dataclass
class Master:
    """What a master has of the classes. Its view of the rooms is one that nobody has told anything yet."""

    bus: BusRig
    classes: Classes
    stream_keys: StreamKeyPublisher
    archiving: Archiving

    async def table(self) -> dict[str, str]:
        found = await Records(self.bus.bus).all_records(STREAM_KEYS, ClassRecord)
        return {digest: record.room for digest, record in found.items()}


@pytest.fixture
async def masters(valkey_url: str, postgres_url: str) -> AsyncIterator[list[Master]]:
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            rig, store = BusRig(valkey_url), Postgres(PostgresSection(url=postgres_url))
            await rig.bus.start()
            stack.push_async_callback(rig.bus.stop)
            await store.start()
            stack.push_async_callback(store.stop)
            await migrate(store, load())
            classes = Classes(store, max_classes=50)
            stream_keys = StreamKeyPublisher(rig.bus, classes, "stream", TaskScope("stream-keys"))
            rooms = RoomStates(rig.bus, TaskScope("rooms"))
            made.append(
                Master(rig, classes, stream_keys, Archiving(classes, stream_keys, rooms, default_room="stream"))
            )
        yield made


async def test_the_table_is_what_postgresql_has_however_two_masters_write_it(masters: list[Master]):
    rooms = [(await masters[0].classes.create("Class", f"room-{number}")).room for number in range(4)]

    async def change(master: Master, room: str) -> None:
        await master.classes.renew_stream_key(room)
        await master.stream_keys.refresh()

    for _ in range(15):
        await asyncio.gather(*(change(masters[number % 2], room) for number, room in enumerate(rooms)))
        wanted = {key_digest(each.stream_key): each.room for each in await masters[0].classes.all()}
        assert await masters[1].table() == wanted


async def test_who_begins_to_publish_just_then_keeps_the_class(masters: list[Master]):
    one, other = masters
    made = await one.classes.create("Optics", "optics")
    await one.stream_keys.refresh()
    leases = Leases(one.bus.bus)
    for phase in ("live", "reconnecting"):
        await leases.put_lease(ROOMS, "optics", RoomState("optics", "slave-1", phase, 1.0), 60)  # type: ignore[arg-type]
        with pytest.raises(Conflict, match="is live"):
            await other.archiving.archive("optics", "Another title")
        assert await one.classes.by_room("optics") == made
        assert await one.table() == {key_digest(made.stream_key): "optics"}

    await leases.put_lease(ROOMS, "optics", RoomState("optics", "slave-1", "ended", 1.0), 60)
    archived = await other.archiving.archive("optics", "Optics I")
    assert (archived.title, archived.archived_at is not None) == ("Optics I", True)
    assert await one.table() == {}
    with pytest.raises(NotFound):
        await one.archiving.archive("optics")
    await one.archiving.restore("optics")
    assert await other.table() == {key_digest(made.stream_key): "optics"}


async def test_where_nobody_knows_whether_it_is_live_it_stays(masters: list[Master]):
    one, _ = masters
    made = await one.classes.create("Optics", "optics")
    await one.bus.bus.stop()
    with pytest.raises(Unavailable):
        await one.archiving.archive("optics", "Another title")
    assert await one.classes.by_room("optics") == made
