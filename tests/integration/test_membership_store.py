"""What the cluster keeps in Redis: reservations, leases, orders; and the embedded Valkey that other nodes use."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from airnode.bus.client import Bus
from airnode.bus.messages import NodeRecord
from airnode.bus.subscription import BusMetrics
from airnode.cluster.access import NODE_ACCESS
from airnode.cluster.node_registry import NodeRegistry
from airnode.cluster.reservations import Reservations
from airnode.config.sections.embedded import EmbeddedSection
from airnode.config.sections.redis import RedisSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.network import NetworkAccess, RemoteUser
from airnode.embedded.valkey import EmbeddedValkey
from airnode.errors import NotFound, StartupError
from tests.support.waiting import eventually


@pytest.fixture
async def bus(valkey_url: str) -> AsyncIterator[Bus]:
    made = Bus(RedisSection(url=valkey_url), BusMetrics(CollectorRegistry()))
    await made.start()
    yield made
    await made.stop()


def record(node_id: str, beat_at: float = 1.0) -> NodeRecord:
    return NodeRecord(node_id, node_id, "healthy", "", "http", 8888, 1935, 0, 150, "0", beat_at)


# -- reservations -----------------------------------------------------------------------------------------------------


async def test_a_reservation_ends_when_its_viewer_connects(bus: Bus):
    places = Reservations(bus)
    assert await places.reserve("s1", "a", 15, 10) == (True, 1)
    assert await places.reserve("s2", "a", 15, 10) == (True, 2)
    assert await places.reserve("s3", "b", 15, 10) == (True, 1)
    assert await places.counts() == {"a": 2, "b": 1}
    assert await places.release("a", ["s1"]) == 1
    assert await places.release("a", ["s1", "unknown"]) == 1  # reported twice, or never reserved
    assert await places.release("a", ["s3"]) == 1  # a viewer that connected to another node than the reserved one
    assert await places.counts() == {"a": 1}


async def test_a_reservation_expires(bus: Bus):
    places = Reservations(bus)
    await places.reserve("s1", "a", 0.05, 10)
    await places.reserve("s2", "a", 15, 10)

    async def one_left() -> bool:
        return await places.counts() == {"a": 1}

    await eventually(one_left, 5)
    assert await places.release("a", ["s1"]) == 1


async def test_no_more_places_are_taken_than_are_free(bus: Bus):
    places = Reservations(bus)
    answers = await asyncio.gather(*(places.reserve(f"s{index}", "a", 15, 30) for index in range(100)))
    assert sum(granted for granted, _ in answers) == 30
    assert await places.counts() == {"a": 30}
    assert await places.reserve("more", "a", 15, 30) == (False, 30)


async def test_a_session_has_one_place(bus: Bus):
    places = Reservations(bus)
    await places.reserve("s1", "a", 15, 10)
    await places.reserve("s1", "b", 15, 10)
    assert await places.counts() == {"b": 1}


@pytest.mark.parametrize("seed", range(5))
async def test_counts_always_equal_the_number_of_reservations(bus: Bus, seed: int):
    places, rng, held = Reservations(bus), random.Random(seed), {}
    for step in range(150):
        session, node_id = f"s{rng.randrange(20)}", rng.choice("abc")
        if rng.random() < 0.6:
            granted, _ = await places.reserve(session, node_id, 60, rng.randrange(8))
            if granted:
                held[session] = node_id
        else:
            await places.release(node_id, [session, f"s{rng.randrange(20)}"][: rng.randrange(1, 3)])
            counts = await places.counts()
            values = await bus.client.hgetall("airnode:places:{places}:values")
            held = {name.decode(): node.decode() for name, node in values.items()}
            assert counts == {node: list(held.values()).count(node) for node in set(held.values())}, step
            assert all(count > 0 for count in counts.values())


# -- nodes ------------------------------------------------------------------------------------------------------------


async def test_the_record_of_a_node_outlives_its_lease(bus: Bus):
    nodes = NodeRegistry(bus)
    await nodes.beat(record("a"), 0.05)

    async def gone() -> bool:
        return await nodes.leased() == {}

    await eventually(gone, 5)
    assert set((await nodes.records_and_orders())[0]) == {"a"}
    await nodes.forget(["a"])
    assert (await nodes.records_and_orders())[0] == {}


async def test_a_removed_node_returns_only_by_registering(bus: Bus):
    nodes = NodeRegistry(bus)
    assert await nodes.beat(record("a"), 60) == ""
    await nodes.remove("a")
    assert await nodes.beat(record("a", 2.0), 60) == "removed"
    assert (await nodes.leased(), (await nodes.records_and_orders())[0]) == ({}, {})
    await nodes.clear_orders("a")
    assert await nodes.beat(record("a", 3.0), 60) == ""
    assert set(await nodes.leased()) == {"a"}


async def test_orders_for_unknown_nodes_are_refused(bus: Bus):
    nodes = NodeRegistry(bus)
    for order in (nodes.drain("x", on=True), nodes.drain("x", on=False), nodes.remove("x")):
        with pytest.raises(NotFound):
            await order
    await nodes.beat(record("a"), 60)
    await nodes.drain("a", on=True)
    assert (await nodes.beat(record("a", 2.0), 60), (await nodes.records_and_orders())[1]) == ("drain", {"a": "drain"})
    await nodes.drain("a", on=False)
    assert (await nodes.beat(record("a", 3.0), 60), (await nodes.records_and_orders())[1]) == ("", {})


# -- the embedded Valkey on the network -------------------------------------------------------------------------------


def valkey(directory: Path, port: int = 0, *, network: bool = True) -> EmbeddedValkey:
    access = NetworkAccess("127.0.0.1", port, [RemoteUser(NODE_ACCESS, "node" * 16)]) if network else None
    return EmbeddedValkey(directory, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()), access, "own" * 16)


async def answered(url: str, *command: str) -> object:
    async with aioredis.from_url(url) as client:
        return await client.execute_command(*command)


async def test_port_and_data_survive_every_change_of_access(tmp_path: Path):
    urls = []
    for network in (False, True, True, False):
        server = valkey(tmp_path, network=network)
        await server.start()
        try:
            urls.append(server.remote_url(NODE_ACCESS, "127.0.0.1"))
            await answered(server.url, "INCR", "airnode:starts")
            if network:
                assert await answered(urls[-1], "GET", "airnode:starts") == str(len(urls)).encode()
        finally:
            await server.stop()
    assert urls[0] == urls[3] == ""
    assert urls[1] == urls[2]


async def test_a_killed_valkey_restarts_at_the_same_address(tmp_path: Path):
    server = valkey(tmp_path)
    await server.start()
    try:
        url, pid = server.remote_url(NODE_ACCESS, "127.0.0.1"), server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: server.pid not in (None, pid), 15, "it is restarted")

        async def back() -> bool:
            try:
                return await answered(url, "PING") is True
            except (OSError, aioredis.ConnectionError):
                return False

        await eventually(back, 15)
    finally:
        await server.stop()


async def test_a_port_in_use_is_reported_in_one_sentence(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"Port {port} .*embedded\.redis_port"):
            await valkey(tmp_path, port).start()


async def test_the_socket_needs_the_password_too_then(tmp_path: Path):
    server = valkey(tmp_path)
    await server.start()
    try:
        with pytest.raises(RedisError, match="authenticated"):
            await answered(f"unix://{server.url.partition('@')[2]}", "PING")
        assert "own" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        assert "own" not in (tmp_path / "valkey" / "users.acl").read_text()
    finally:
        await server.stop()
