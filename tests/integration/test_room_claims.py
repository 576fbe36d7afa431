"""An encoder that comes to this node while another node still has the class, and its reports come late."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.leases import Leases
from airnode.bus.messages import RoomState
from airnode.errors import Conflict
from airnode.media.room.claims import RoomClaims, room_claim
from airnode.media.room.origins import OriginTable
from tests.support.bus import BusRig
from tests.support.rooms import make_rooms

TAKEOVER_AFTER_S = 0.4


class Claiming:
    """This node, and what it hears of a class on the node ``other``."""

    def __init__(self, rig: BusRig) -> None:
        rooms = make_rooms(CollectorRegistry(), takeover_after_s=TAKEOVER_AFTER_S)
        self.table = OriginTable("here", "127.0.0.1", 60)
        self.claims = RoomClaims(rig.bus, "here", rooms, self.table, takeover_after_s=TAKEOVER_AFTER_S)
        self.leases = Leases(rig.bus)

    def report(self, heard_s: float, silent_s: float) -> None:
        state = RoomState("algebra", "other", "live", 0.0, epoch=1, silent_s=silent_s, heard_s=heard_s)
        self.table.rooms.receive(state, asyncio.get_running_loop().time())

    async def owner(self) -> str:
        claim = await self.leases.read_claim(room_claim("algebra"), RoomState)
        return claim.owner if claim is not None else ""


@pytest.fixture
async def claiming(valkey_url):
    rig = BusRig(valkey_url)
    await rig.bus.start()
    yield Claiming(rig)
    await rig.bus.stop()


async def test_late_reports_of_a_silent_publisher_do_not_make_it_alive(claiming: Claiming):
    claiming.report(heard_s=5.0, silent_s=0.0)
    claim = asyncio.create_task(claiming.claims.claim("algebra"))
    await asyncio.sleep(0)
    while not claim.done():
        claiming.report(heard_s=5.0, silent_s=0.0)  # made at once, and always the newest that comes
        await asyncio.sleep(0.02)
    await claim
    assert await claiming.owner() == "here"


async def test_a_publisher_that_is_heard_again_keeps_the_class(claiming: Claiming):
    claiming.report(heard_s=5.0, silent_s=0.3)
    claim = asyncio.create_task(claiming.claims.claim("algebra"))
    await asyncio.sleep(0)
    claiming.report(heard_s=6.0, silent_s=0.0)
    with pytest.raises(Conflict, match="live already"):
        await claim
    assert await claiming.owner() == ""


async def test_without_a_publisher_elsewhere_nobody_waits(claiming: Claiming):
    await claiming.claims.claim("algebra")
    assert await claiming.owner() == "here"
