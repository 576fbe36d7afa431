"""Redis is gone for a minute: classes go on, places are given away for the lease time, and all heals by itself."""

import asyncio
import itertools
import time
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.messages import STREAM_KEYS, ClassRecord
from airnode.bus.records import Records
from airnode.bus.subscription import BusMetrics
from airnode.cluster.codes import key_digest
from airnode.cluster.stream_keys import StreamKeys
from airnode.config.sections.redis import RedisSection
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from tests.chaos.conftest import Join
from tests.chaos.lasting import lasting_s
from tests.chaos.lesson import publish_to, stream_of
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.ports import free_ports
from tests.support.student import Student
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(300)]

LEASE_S = 6.0
#: Longer than the lease, by what is tried in each half of it.
OUTAGE_S = lasting_s(60, 30)


@pytest.fixture
def cluster(cluster_on_other_stores: Cluster) -> Cluster:
    return cluster_on_other_stores


async def health(session: aiohttp.ClientSession, node: AirnodeProcess) -> tuple[int, int, dict]:
    """Statuses of readiness and of /health, and what the latter says."""
    async with session.get(f"{node['api_url']}/health/readiness") as response:
        ready = response.status
    async with session.get(f"{node['api_url']}/health") as response:
        return ready, response.status, await response.json()


async def test_a_minute_without_redis(cluster: Cluster, valkey: ExternalValkey, join: Join, clip: Path):
    """It hangs for half of the time, then it is dead, and it comes back without its memory."""
    async with publish_to(cluster, "slave-1", clip) as publisher:
        students = [*await join(4, "live"), *await join(4, "hls")]
        await asyncio.gather(*(student.plays() for student in students))
        await eventually(lambda: counted(cluster, 8), 20, "all viewers are counted")
        before = await stream_of(cluster)
        assert before is not None
        valkey.pause()
        gone_s = time.monotonic()
        await places_are_given_for_the_lease_time(cluster, gone_s)
        await every_node_is_degraded(cluster)

        await publisher.kill()  # and comes back to its node, whose room it is
        url = f"{cluster.node('slave-1')['rtmp_server']}/{cluster.master['stream_key']}"
        again = await Publisher.of_clip(url, clip).start()
        try:
            back_s = time.monotonic()
            await asyncio.gather(*(student.plays(after_s=back_s + 1, ticks=20) for student in students))
            await strangers_stay_out(cluster, clip)
            await until(gone_s + OUTAGE_S / 2)
            await valkey.kill()
            await until(gone_s + OUTAGE_S)
            await all_play_on(students, gone_s)
            await valkey.start()
            healed_s = time.monotonic()
            await all_is_well_again(cluster, before)
            print(f"Redis back: all well again after {time.monotonic() - healed_s:.2f} s")
            await asyncio.gather(*(student.plays(after_s=healed_s, ticks=20) for student in students))
            assert again.running
            assert {len(student.places) for student in students} == {1}, "nobody had to move"
        finally:
            await again.kill()


async def until(at_s: float) -> None:
    """Let an outage last as long as it should."""
    await asyncio.sleep(max(0.0, at_s - time.monotonic()))


async def counted(cluster: Cluster, viewers: int) -> bool:
    stream = await stream_of(cluster)
    return stream is not None and stream["viewers"] == viewers


async def places_are_given_for_the_lease_time(cluster: Cluster, gone_s: float) -> None:
    """From the last known state; then 503 with Retry-After."""
    given = 0

    async def refused() -> bool:
        nonlocal given
        async with cluster.session.post(
            f"{cluster.master['api_url']}/api/token",
            json={"user_type": "student", "user_id": f"late-{given}", "code": cluster.master["class_code"]},
        ) as response:
            body = await response.json()
            if response.status == 200:
                given += 1
                assert time.monotonic() - gone_s < LEASE_S + 10, "no longer than the last beat's lease"
                return False
            assert (response.status, response.content_type) == (503, "application/problem+json")
            assert float(response.headers["Retry-After"]) > 0
            assert body["title"] == "No healthy nodes available"
            return True

    await eventually(refused, 30, "places are refused in the end")
    print(f"Redis gone: {given} places given in the {time.monotonic() - gone_s:.2f} s before they were refused")
    assert given > 0


async def every_node_is_degraded(cluster: Cluster) -> None:
    for node in cluster.nodes:
        ready, status, body = await health(cluster.session, node)
        assert (ready, status, body["status"]) == (200, 200, "degraded"), body
        assert body["checks"]["redis"]["ok"] is False
        assert (
            "does not answer" in body["checks"]["redis"]["detail"] or "no answer" in body["checks"]["redis"]["detail"]
        )

    async def says_so() -> bool:
        _, _, body = await health(cluster.session, cluster.node("slave-1"))
        return "no heartbeat got through" in str(body["checks"]["heartbeat"]["detail"])

    await eventually(says_so, 20, "a slave says that nobody hears it")


async def strangers_stay_out(cluster: Cluster, clip: Path) -> None:
    """Neither a wrong key nor the right one on a node that does not have the class gets in meanwhile."""
    for name, key in (("slave-1", "x" * 24), ("slave-2", cluster.master["stream_key"])):
        tried = await Publisher.of_clip(f"{cluster.node(name)['rtmp_server']}/{key}", clip).start()
        code, _ = await tried.result(30)
        assert code != 0, name


async def all_play_on(students: list[Student], gone_s: float) -> None:
    """All the time, apart from the moment in which the publisher was away."""
    now_s = time.monotonic()
    for student in students:
        ticks = [gone_s, *(tick.at_s for tick in student.since(gone_s)), now_s]
        pauses = sorted(later - earlier for earlier, later in itertools.pairwise(ticks))
        assert pauses[-1] < 20, (student.user_id, pauses[-3:])
        assert len(ticks) > 40, student.user_id


async def all_is_well_again(cluster: Cluster, before: dict) -> None:
    async def healthy() -> bool:
        nodes = (await cluster.listed()).values()
        return [node["status"] for node in nodes] == ["healthy", "healthy"]

    async def owned() -> bool:
        stream = await stream_of(cluster)
        return stream is not None and (stream["origin"], stream["epoch"], stream["viewers"], stream["state"]) == (
            before["origin"],
            before["epoch"],
            8,
            "live",
        )

    async def well() -> bool:
        return [(await health(cluster.session, node))[2]["status"] for node in cluster.nodes] == ["healthy"] * 3

    async def placed() -> bool:
        return (await cluster.student("after"))[0] == 200

    await eventually(healthy, 30, "the nodes are listed as healthy")
    await eventually(placed, 30, "places are given again")
    await eventually(owned, 30, "the room has its origin, its epoch and its viewers")
    await eventually(well, 30, "no node is degraded")


async def test_a_slave_waits_for_a_redis_that_it_never_reached(
    cluster: Cluster, valkey: ExternalValkey, session: aiohttp.ClientSession, tmp_path: Path
):
    await valkey.kill()
    await eventually(lambda: "node_board_not_synced" in cluster.master.log, 20, "the master notices")
    url = f"http://127.0.0.1:{(port := free_ports(1)[0])}"
    keys = {"JWT_SECRET_KEY": cluster.master.env["JWT_SECRET_KEY"]}
    slave = AirnodeProcess(
        tmp_path / "late", "--redis-url", valkey.url, "--node-name", "late", "--port", str(port), role="slave", env=keys
    )
    try:
        await slave.launch()
        await eventually(lambda: "redis_not_reached" in slave.log, 20, "it says what it waits for")
        slave.endpoints["api_url"] = url
        ready, _, body = await health(session, slave)
        assert (ready, body["status"]) == (503, "starting")
        assert f"Redis at 127.0.0.1:{valkey.port} does not answer" in body["checks"]["redis"]["detail"]
        await valkey.start()
        await slave.ready()
        await cluster.until("late", "healthy")
        ready, _, body = await health(session, slave)
        assert (ready, body["status"]) == (200, "healthy")
        await valkey.kill()
        stops = AirnodeProcess(tmp_path / "stops", "--redis-url", valkey.url, role="slave", env=keys)
        await stops.launch()
        await eventually(lambda: "redis_not_reached" in stops.log, 20, "another one waits")
        assert await stops.stop() == 0
    finally:
        await slave.close()


async def test_a_remembered_stream_key_that_was_renewed_opens_nothing(valkey: ExternalValkey, tmp_path: Path):
    metrics = BusMetrics(CollectorRegistry())
    bus = Bus(RedisSection(url=valkey.url, connect_timeout_s=1), metrics)
    await bus.start()
    keys, records = StreamKeys(bus, TaskScope("keys")), Records(bus)
    try:
        for key in ("good", "renewed"):
            await records.set_record(STREAM_KEYS, key_digest(key), ClassRecord("algebra"))
            assert await keys.room_of(key) == "algebra"
        await records.drop_record(STREAM_KEYS, key_digest("renewed"))
        await keys.recheck()
        await valkey.kill()
        assert await keys.room_of("good") == "algebra"
        for key in ("renewed", "never-seen"):
            with pytest.raises(Unavailable):
                await keys.room_of(key)
    finally:
        await keys.stop()
        await bus.stop()
