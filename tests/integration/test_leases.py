"""Leases, claims and records against a real Valkey."""

import asyncio

import pytest

from airnode.bus import keys
from airnode.bus.leases import MAX_EPOCH, Claim, Leases
from airnode.bus.records import Records
from airnode.errors import InvalidInput
from tests.support.bus import BusRig, Note, Other, until


@pytest.fixture
async def rig(valkey_url):
    rig = BusRig(valkey_url)
    await rig.bus.start()
    yield rig
    await rig.bus.stop()


@pytest.fixture
def bus(rig):
    return rig.bus


async def test_leases_are_read_renewed_dropped_and_expire(bus):
    leases = Leases(bus)
    await leases.put_lease("nodes", "a", Note("1"), 60)
    await leases.put_lease("nodes", "b", Note("2"), 0.3)
    await leases.put_lease("rooms", "a", Note("3"), 60)
    assert await leases.read_leases("nodes", Note) == {"a": Note("1"), "b": Note("2")}
    assert await leases.read_lease("nodes", "a", Note) == Note("1")
    await leases.put_lease("nodes", "a", Note("1+"), 60)

    async def b_is_gone() -> bool:
        return await leases.read_leases("nodes", Note) == {"a": Note("1+")}

    await until(b_is_gone)
    assert await leases.read_lease("nodes", "b", Note) is None
    assert await leases.drop_lease("nodes", "a") is True
    assert await leases.drop_lease("nodes", "a") is False
    assert await leases.read_leases("nodes", Note) == {}
    assert await leases.read_leases("rooms", Note) == {"a": Note("3")}


async def test_a_report_is_a_lease_and_a_message(rig, bus):
    leases, heard = Leases(bus), []

    async def hear(note: Note) -> None:
        heard.append(note)

    await bus.subscribe("nodes", Note, hear)
    await leases.report("nodes", "a", Note("1"), 60)

    async def is_heard() -> bool:
        return heard == [Note("1")]

    await until(is_heard)
    assert await leases.read_leases("nodes", Note) == {"a": Note("1")}
    assert rig.registry.get_sample_value("airnode_bus_published_total") == 1


async def test_a_renewal_returns_the_claim_of_the_same_name(bus):
    leases = Leases(bus)
    assert await leases.renew_and_read_claim("leader", "a", Note("a"), 60) is None
    await leases.claim("leader", "a", 3, Note("a"))
    assert await leases.renew_and_read_claim("leader", "b", Note("b"), 60) == Claim("a", 3, Note("a"))
    assert await leases.read_leases("leader", Note) == {"a": Note("a"), "b": Note("b")}


async def test_a_renewed_lease_outlives_its_first_end(bus):
    leases = Leases(bus)
    await leases.put_lease("nodes", "short", Note("x"), 0.2)
    await leases.put_lease("nodes", "kept", Note("x"), 0.2)
    await leases.put_lease("nodes", "kept", Note("y"), 60)

    async def only_kept() -> bool:
        return await leases.read_leases("nodes", Note) == {"kept": Note("y")}

    await until(only_kept)


async def test_a_group_that_nobody_reads_expires(bus):
    await Leases(bus).put_lease("nodes", "a", Note("1"), 0.1)

    async def nothing_left() -> bool:
        return await bus.client.dbsize() == 0

    await until(nothing_left)


async def test_a_thousand_leases_are_read_in_one_round_trip_without_invalid_ones(rig, bus):
    leases = Leases(bus)
    await asyncio.gather(*(leases.put_lease("nodes", f"n{n}", Other(n), 60) for n in range(1000)))
    await bus.client.hset(keys.lease_values("nodes"), "n5", b"not json")
    before = (await bus.client.info("commandstats"))["cmdstat_eval"]["calls"]
    found = await leases.read_leases("nodes", Other)
    assert (await bus.client.info("commandstats"))["cmdstat_eval"]["calls"] == before + 1
    assert found == {f"n{n}": Other(n) for n in range(1000) if n != 5}
    assert rig.dropped("bad_value") == 1


async def test_claims_follow_the_epoch(bus):
    leases = Leases(bus)
    assert await leases.read_claim("room:x", Note) is None
    assert await leases.claim("room:x", "n1", 3, Note("a")) == (True, Claim("n1", 3, Note("a")))
    assert await leases.claim("room:x", "n1", 3, Note("a2")) == (True, Claim("n1", 3, Note("a2")))
    for epoch in (0, 2, 3):
        assert await leases.claim("room:x", "n2", epoch, Note("b")) == (False, Claim("n1", 3, Note("a2")))
    assert (await leases.claim("room:x", "n1", 2, Note("a")))[0] is False
    assert await leases.claim("room:x", "n2", 4, Note("b")) == (True, Claim("n2", 4, Note("b")))
    assert await leases.release_claim("room:x", "n1", 3) is False
    assert await leases.release_claim("room:x", "n2", 4) is True
    assert await leases.read_claim("room:x", Note) == Claim("", 4, None)
    assert (await leases.claim("room:x", "n1", 4, Note("late")))[0] is False
    assert (await leases.claim("room:x", "n1", MAX_EPOCH, Note("last")))[1].epoch == MAX_EPOCH
    for owner, epoch in (("", 1), ("n1", -1), ("n1", MAX_EPOCH + 1)):
        with pytest.raises(InvalidInput):
            await leases.claim("room:x", owner, epoch, Note("x"))


async def test_one_of_many_claims_with_the_same_epoch_wins(bus):
    leases = Leases(bus)
    for epoch in range(1, 6):
        results = await asyncio.gather(*(leases.claim("room:x", f"n{n}", epoch, Other(n)) for n in range(20)))
        winners = [n for n, (granted, _) in enumerate(results) if granted]
        assert len(winners) == 1
        assert {claim for _, claim in results} == {Claim(f"n{winners[0]}", epoch, Other(winners[0]))}


async def test_records_are_replaced_as_a_whole(bus):
    records = Records(bus)
    await records.set_record("streams", "old", Note("old"))
    readers_saw: set[tuple[bool, bool]] = set()
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            names = set(await bus.client.hkeys(keys.records("streams")))
            readers_saw.add((b"old" in names, len(names) == 2000))

    reading = asyncio.ensure_future(read())
    await records.replace_records("streams", {f"k{n}": Other(n) for n in range(2000)})
    stop.set()
    await reading
    assert readers_saw <= {(True, False), (False, True)}
    assert await records.get_record("streams", "old", Note) is None
    assert await records.get_record("streams", "k1999", Other) == Other(1999)
    assert await bus.client.ttl(keys.records("streams")) == -1
    assert await records.drop_record("streams", "k1999") is True
    assert await records.drop_record("streams", "k1999") is False
    await records.replace_records("streams", {})
    assert await bus.client.dbsize() == 0


async def test_all_keys_have_the_prefix(bus):
    await Leases(bus).put_lease("g", "m", Note("x"), 60)
    await Leases(bus).claim("k", "o", 1, Note("x"))
    await Records(bus).set_record("t", "k", Note("x"))
    assert all(key.startswith(keys.PREFIX.encode()) for key in await bus.client.keys("*"))
