"""Removed students, as two nodes see them, against a real Valkey."""

from collections.abc import AsyncIterator

import pytest

from airnode.bus.records import Records
from airnode.bus.removals import REMOVALS, Removal, Removals
from airnode.errors import Conflict
from airnode.kernel.tasks import TaskScope
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
    await records.drop_record(REMOVALS, "math\x1fjun")
    await eventually(lambda: not there.removals.is_removed("math", ["jun"]), 10, "its end, too")
    assert there.changes == [("jun", False), ("jun", True)]


async def test_a_node_that_starts_later_knows_who_was_removed(views: list[View], valkey_url: str):
    await views[0].removals.remove(Removal("math", "mina"))
    late = await View(valkey_url).start()
    assert late.removals.is_removed("math", ["mina"])
    await late.stop()


async def test_the_number_of_removed_students_is_limited(views: list[View]):
    removals = views[0].removals
    for user in ("a", "b", "b"):
        await removals.remove(Removal("math", user))
    with pytest.raises(Conflict, match="max_removed"):
        await removals.remove(Removal("math", "c"))
    await removals.remove(Removal("art", "c"))
    await removals.readmit("math", "a")
    await removals.remove(Removal("math", "c"))
