"""Removed students, as two nodes see them, against a real Valkey."""

import time
from collections.abc import AsyncIterator

import pytest

from airnode.bus.records import Records
from airnode.bus.removals import REMOVALS, Removal, Removals, forget_removals
from airnode.cluster.removal_keeping import RemovalKeeper
from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Conflict
from airnode.kernel.tasks import TaskScope
from airnode.store.migrate import load, migrate
from airnode.store.postgres import Postgres
from tests.support.bus import BusRig
from tests.support.waiting import eventually


class View:
    """A node's view, and the changes that it reported."""

    def __init__(self, url: str) -> None:
        self.bus = BusRig(url).bus
        self.removals = Removals(self.bus, TaskScope("removals"), max_per_room=2)
        self.changes: list[tuple[str, bool]] = []
        self.removals.listen(lambda change: self.changes.append((change.user_id, change.readmitted)))

    async def start(self) -> "View":
        await self.bus.start()
        await self.removals.start()
        return self

    async def stop(self) -> None:
        await self.removals.stop()
        await self.bus.stop()


@pytest.fixture
async def views(valkey_url: str) -> AsyncIterator[list[View]]:
    made = [await View(valkey_url).start() for _ in range(2)]
    yield made
    for view in made:
        await view.bus.client.delete(f"airnode:records:{{{REMOVALS}}}")
        await view.stop()


async def test_a_removal_and_its_end_are_seen_everywhere(views: list[View]):
    here, there = views
    await here.removals.remove(Removal("math", "mina", "Mina", 5))
    assert here.removals.is_removed("math", ["x", "mina"])
    await eventually(lambda: there.removals.is_removed("math", ["mina"]), 5, "the other node knows")
    assert not there.removals.is_removed("art", ["mina"])
    assert [(each.user_id, each.name) for each in there.removals.in_room("math")] == [("mina", "Mina")]
    assert await there.removals.readmit("math", "mina")
    assert not await there.removals.readmit("math", "mina")
    await eventually(lambda: not here.removals.is_removed("math", ["mina"]), 5, "the first node knows")
    assert here.changes == there.changes == [("mina", False), ("mina", True)]


async def test_a_change_whose_message_is_lost_is_found_in_the_table(views: list[View]):
    here, there = views
    records = Records(here.bus)
    await records.set_record(REMOVALS, "math\x1fjun", Removal("math", "jun"))
    await eventually(lambda: there.removals.is_removed("math", ["jun"]), 10, "it is found")
    await records.set_record(REMOVALS, "math\x1fjun", Removal("math", "jun", readmitted=True))
    await eventually(lambda: not there.removals.is_removed("math", ["jun"]), 10, "its end, too")
    assert there.changes == [("jun", False), ("jun", True)]


async def test_a_node_that_starts_later_knows_who_was_removed(views: list[View], valkey_url: str):
    await views[0].removals.remove(Removal("math", "mina"))
    late = await View(valkey_url).start()
    assert late.removals.is_removed("math", ["mina"])
    await late.stop()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Postgres]:
    store = Postgres(PostgresSection(url=postgres_url))
    await store.start()
    await migrate(store, load())
    yield store
    await store.stop()


async def _kept(postgres: Postgres) -> list[tuple[str, str, str]]:
    rows = await postgres.fetch("SELECT room, user_id, name FROM removals ORDER BY user_id")
    return [(row["room"], row["user_id"], row["name"]) for row in rows]


async def test_removals_survive_a_redis_that_loses_its_data(views: list[View], valkey_url: str, postgres: Postgres):
    here, there = views
    masters = [RemovalKeeper(view.bus, postgres, TaskScope("keeper")) for view in views]
    await here.removals.remove(Removal("math", "mina", "Mina", 1_000))
    await there.removals.remove(Removal("math", "jun", "Jun", 2_000))
    for master in masters:
        await master.keep(3_000)
    assert await _kept(postgres) == [("math", "jun", "Jun"), ("math", "mina", "Mina")]

    await here.bus.client.flushdb()
    for view in views:
        await view.removals.resync()
        assert view.removals.is_removed("math", ["mina"])  # nobody comes back meanwhile
    for master in masters:
        await master.keep(4_000)
    late = await View(valkey_url).start()
    assert [(each.user_id, each.name, each.at) for each in late.removals.in_room("math")] == [
        ("mina", "Mina", 1_000),
        ("jun", "Jun", 2_000),
    ]
    await late.stop()

    assert await there.removals.readmit("math", "mina")
    for master in masters:
        await master.keep(5_000)
    assert await _kept(postgres) == [("math", "jun", "Jun")]
    await here.bus.client.flushdb()
    for master in masters:
        await master.keep(6_000)
    late = await View(valkey_url).start()
    assert [each.user_id for each in late.removals.in_room("math")] == ["jun"]
    await late.stop()


async def test_who_is_removed_again_after_a_readmission_stays_removed(views: list[View], postgres: Postgres):
    here, _ = views
    master = RemovalKeeper(here.bus, postgres, TaskScope("keeper"))
    now_ms = time.time_ns() // 1_000_000
    for removed in (True, False, True):
        if removed:
            await here.removals.remove(Removal("math", "mina", "Mina", now_ms))
        else:
            await here.removals.readmit("math", "mina")
        await master.keep(now_ms)
        assert await _kept(postgres) == ([("math", "mina", "Mina")] if removed else [])
    await here.removals.readmit("math", "mina")
    await master.keep(now_ms)
    await master.keep(now_ms + 2 * 3_600_000)
    assert await Records(here.bus).all_records(REMOVALS, Removal) == {}


async def test_a_forgotten_student_leaves_no_removal(views: list[View]):
    here, there = views
    for room in ("math", "art"):
        await here.removals.remove(Removal(room, "mina", "Mina"))
    assert await forget_removals(here.bus, "mina", delete=False) == 2
    assert await forget_removals(here.bus, "mina", delete=True) == 2
    assert await forget_removals(here.bus, "mina", delete=True) == 0
    await eventually(lambda: not there.removals.is_removed("art", ["mina"]), 5, "everywhere")


async def test_the_number_of_removed_students_is_limited(views: list[View]):
    removals = views[0].removals
    for user in ("a", "b", "b"):
        await removals.remove(Removal("math", user))
    with pytest.raises(Conflict, match="max_removed"):
        await removals.remove(Removal("math", "c"))
    await removals.remove(Removal("art", "c"))
    await removals.readmit("math", "a")
    await removals.remove(Removal("math", "c"))
