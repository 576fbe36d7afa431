"""Assigning nodes to viewers: the test acts as the nodes over HTTP, masters are processes."""

import asyncio
import time
from collections import Counter

import aiohttp
import pytest

from tests.support.cluster import Cluster, beat
from tests.support.database import EmptyDatabase
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

#: Leases that outlast a test: the nodes here beat when they are told to.
SLOW = ("--set", "cluster.lease_s=60", "--set", "auth.token_rate_per_s=5000", "--set", "auth.token_burst=5000")


@pytest.fixture
async def cluster(tmp_path, session: aiohttp.ClientSession, empty_database: EmptyDatabase):
    await empty_database.lay(tmp_path / "master")
    made = Cluster(tmp_path, session, *SLOW, "--set", "cluster.reservation_s=2")
    try:
        yield await made.start()
    finally:
        await made.close()


async def beats(cluster: Cluster, node_id: str, *, seen: tuple[str, ...] = (), **fields) -> dict:
    body = beat(node_id, at=time.time(), seen=seen, **fields)
    status, answer = await cluster.call("POST", "/cluster/heartbeat", json=body)
    assert status == 200, answer
    return answer


async def crowd(cluster: Cluster, masters: list[AirnodeProcess], students: int) -> Counter[str]:
    """Students that all connect within one second, at each master in turn."""
    began_s = time.monotonic()
    answers = await asyncio.gather(
        *(cluster.student(f"s{index}", masters[index % len(masters)]) for index in range(students))
    )
    assert {status for status, _ in answers} == {200}
    print(f"{students} students in {time.monotonic() - began_s:.2f} s at {len(masters)} masters")
    return Counter(body["node_id"] for _, body in answers)


async def test_a_thousand_students_spread_evenly_at_one_master(cluster: Cluster):
    for index in range(10):
        await beats(cluster, f"n{index}")
    await eventually(lambda: all_listed(cluster, 10), what="all nodes are known")
    counts = await crowd(cluster, [cluster.master], 1000)
    assert max(counts.values()) <= 1.1 * 100, counts


async def test_a_thousand_students_spread_evenly_at_two_masters(cluster: Cluster):
    for index in range(10):
        await beats(cluster, f"n{index}")
    second = await cluster.add_master("master-2")
    await eventually(lambda: all_listed(cluster, 10, second), what="the second master knows them")
    alike = [
        {name: (node["node_id"], node["status"]) for name, node in (await cluster.listed(master)).items()}
        for master in (cluster.master, second)
    ]
    assert alike[0] == alike[1]
    counts = await crowd(cluster, [cluster.master, second], 1000)
    assert max(counts.values()) <= 1.1 * 100, counts


async def test_two_masters_never_assign_more_places_than_there_are(cluster: Cluster):
    await beats(cluster, "n0", max_connections=100)
    await beats(cluster, "n1", max_connections=60)
    second = await cluster.add_master("master-2")
    await eventually(lambda: all_listed(cluster, 2, second), what="the second master knows them")
    masters = (cluster.master, second)
    answers = await asyncio.gather(*(cluster.student(f"s{index}", masters[index % 2]) for index in range(240)))
    counts = Counter(body["node_id"] for status, body in answers if status == 200)
    assert counts == {"n0": 100, "n1": 60}
    refused = [body for status, body in answers if status != 200]
    assert {body["title"] for body in refused} == {"No healthy nodes available"}
    assert all(body["status"] == 503 and body["retry_after_s"] > 0 for body in refused)


async def test_a_place_is_reserved_for_its_viewer_and_released_without_one(cluster: Cluster):
    await beats(cluster, "n0", max_connections=2)
    await eventually(lambda: all_listed(cluster, 1), what="the node is known")
    (first, came), (second, _) = await cluster.student("mina"), await cluster.student("jisoo")
    assert (first, second) == (200, 200)
    assert (await cluster.student("late"))[0] == 503
    assert (await cluster.listed())["n0"]["reserved"] == 2
    # One of the two connects: the heartbeat counts the viewer and ends the reservation in one step.
    answer = await beats(cluster, "n0", max_connections=2, current_connections=1, seen=(session_of(came["token"]),))
    assert answer["reserved"] == 1
    assert (await cluster.student("late"))[0] == 503

    async def free() -> bool:
        await beats(cluster, "n0", max_connections=2, current_connections=1)
        return (await cluster.student("late"))[0] == 200

    await eventually(free, 10, what="the other's place is free after cluster.reservation_s")
    assert (await cluster.student("later"))[0] == 503


async def test_bandwidth_limits_like_connections(cluster: Cluster):
    await beats(cluster, "n0", current_connections=10, sent_bps=30_000_000, bandwidth_bps=36_000_000)
    await eventually(lambda: all_listed(cluster, 1), what="the node is known")
    statuses = [(await cluster.student(f"s{index}"))[0] for index in range(4)]
    assert statuses == [200, 200, 503, 503]


async def test_a_student_whose_node_just_failed_gets_another(cluster: Cluster):
    """The lease of the failed node has not ended yet, and it has the lowest load."""
    await beats(cluster, "n0")
    await beats(cluster, "n1", current_connections=60)
    await eventually(lambda: all_listed(cluster, 2), what="the nodes are known")
    _, first = await cluster.student("mina")
    assert first["node_id"] == "n0"
    _, moved = await cluster.student("mina", avoid="n0", token=first["token"])
    assert moved["node_id"] == "n1"
    assert session_of(moved["token"]) == session_of(first["token"])
    assert (await cluster.student("jisoo"))[1]["node_id"] == "n0", "others are not told"
    assert (await cluster.student("mina", avoid="n0,n1"))[0] == 200
    assert (await cluster.student("mina", avoid="n" * 600))[0] == 400


async def all_listed(cluster: Cluster, count: int, master: AirnodeProcess | None = None) -> bool:
    return len(await cluster.listed(master)) == count


def session_of(token: str) -> str:
    import jwt

    return str(jwt.decode(token, options={"verify_signature": False})["sid"])
