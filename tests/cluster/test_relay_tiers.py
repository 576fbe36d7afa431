"""More edges than ``relay.fanout``: a second tier pulls from the first, and survives its failure."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_relay import TOKENS, asker, decoded, metric, served, status_of, viewer
from tests.support import bmff
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher
from tests.support.follower import Follower
from tests.support.livemp4 import VIDEO, LiveReader
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


class Class:
    """An origin that serves one edge, an edge that pulls from it, and one that pulls from that edge."""

    def __init__(self, cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher) -> None:
        self.cluster = cluster
        self.origin, self.first, self.second = slaves
        self.teacher = teacher

    async def relays(self) -> dict[str, tuple[str, int]]:
        """{edge: (the node that it pulls from, its tier)}, by name, as a master reports it."""
        names = {node["node_id"]: name for name, node in (await self.cluster.listed()).items()}
        _, body = await self.cluster.call("GET", "/cluster/streams")
        found = body["streams"][0]["relays"] if body["streams"] else {}
        return {
            names.get(edge, edge): (names.get(each["parent"], each["parent"]), each["tier"])
            for edge, each in found.items()
        }

    async def until(self, **expected: tuple[str, int]) -> None:
        """Wait until edges (``s2`` is slave-2) pull from where they are expected to."""
        wanted = {f"slave-{name[1:]}": (f"slave-{way[0][1:]}", way[1]) for name, way in expected.items()}

        async def there() -> bool:
            found = await self.relays()
            return all(found.get(name) == way for name, way in wanted.items())

        await eventually(there, 30, f"relays are {wanted}")


@pytest.fixture
async def tiers(cluster: Cluster, clip: Path) -> AsyncIterator[Class]:
    slaves = list(
        await asyncio.gather(*(cluster.add_slave(f"slave-{n}", "--set", "relay.fanout=1") for n in (1, 2, 3)))
    )
    teacher = await Publisher.of_clip(f"{slaves[0]['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    try:
        for slave in slaves:  # one after the other: the first to ask gets the place
            await eventually(lambda slave=slave: served(cluster.session, slave), 30, "the class is there")
        yield Class(cluster, slaves, teacher)
    finally:
        await teacher.kill()


def times(follower: Follower) -> list[bmff.Sample]:
    return [sample for part in follower.runs[0].parts for sample in bmff.samples(part)[VIDEO]]


def gapless(samples: list[bmff.Sample]) -> bool:
    """Each frame begins where the one before ends; 1/90 ms for the rounding of FLV's milliseconds."""
    return all(abs(a.time + a.duration - b.time) <= 1 for a, b in itertools.pairwise(samples))


async def test_the_second_tier_plays_without_a_gap_also_when_the_first_is_killed(tiers: Class):
    session = tiers.cluster.session
    nodes = (tiers.origin, tiers.first, tiers.second, tiers.second)
    followers = [await Follower(session, viewer(node, f"s{n}")).start() for n, node in enumerate(nodes)]
    live = await LiveReader(session, viewer(tiers.second, "live", "live.mp4")).start()
    behind = followers[2:]
    try:
        await tiers.until(s2=("s1", 1), s3=("s2", 2))
        for follower in followers:
            await follower.segments(3)
        await live.fragments(30)
        assert await metric(session, tiers.origin, "airnode_media_relay_edge_nodes") == 1
        assert await metric(session, tiers.first, "airnode_media_relay_edge_nodes") == 1
        assert await metric(session, tiers.origin, "airnode_media_relay_requests_total", 'kind="live"') == 1
        await followers[1].stop()
        await tiers.first.kill()
        for follower in behind:
            await follower.segments(len(follower.msns) + 3, 30)
        await live.fragments(60, 30)
        assert not live.ended
        await tiers.until(s3=("s1", 1))
    finally:
        for follower in followers:
            await follower.stop()
        await live.close()
    for follower in behind:
        first = follower.msns[0]
        assert follower.msns == list(range(first, first + len(follower.msns))), "every msn once"
        assert len(follower.runs) == 1
        assert gapless(times(follower))
        assert (await decoded(follower.media()))[1] == ""
    shown = [sample.time for sample in live.stream.samples(VIDEO)]
    assert shown == sorted(set(shown)), "live.mp4 goes on in the same response, behind a hole at most"


async def test_both_tiers_follow_the_teacher_to_another_node(tiers: Class, clip: Path):
    session, cluster = tiers.cluster.session, tiers.cluster
    await tiers.until(s2=("s1", 1), s3=("s2", 2))
    followers = [await Follower(session, viewer(node)).start() for node in (tiers.origin, tiers.second)]
    try:
        for follower in followers:
            await follower.segments(1)
        await tiers.teacher.kill()
        again = await Publisher.of_clip(f"{tiers.first['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
        try:
            for follower in followers:
                await eventually(lambda follower=follower: len(follower.runs) == 2, 30, "the new origin's media come")
                await follower.more_parts(15, 30)
                assert follower.msns == sorted(set(follower.msns)), "sequence numbers only grow"
                assert (await decoded(follower.media(1)))[1] == ""

            async def settled() -> bool:
                found = await tiers.relays()
                first = [edge for edge, way in found.items() if way == ("slave-2", 1)]
                return len(first) == 1 and all(way in (("slave-2", 1), (first[0], 2)) for way in found.values())

            await eventually(settled, 30, "one edge pulls from the new origin, the other from that edge")
            assert len(await tiers.relays()) == 2
        finally:
            await again.kill()
    finally:
        for follower in followers:
            await follower.stop()


async def test_no_node_pulls_from_the_wrong_tier(tiers: Class):
    session = tiers.cluster.session
    await tiers.until(s2=("s1", 1), s3=("s2", 2))

    async def ask(node: AirnodeProcess, token: str, name: str = "media.m3u8") -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(f"{node['media_url']}/relay/stream/{name}", headers=headers) as response:
            body = await response.json(content_type=None) if response.status != 200 else {}
            return response.status, body

    first, second = (TOKENS.issue_relay(asker(tier=tier)) for tier in (1, 2))
    listed = await tiers.cluster.listed()
    for name in ("index.m3u8", "media.m3u8", "live.mp4"):
        status, body = await ask(tiers.origin, first, name)
        assert (status, body["type"]) == (409, "urn:airnode:problem:no_relay_place")
        assert "relay.fanout" in body["detail"]
        assert [each["node_id"] for each in body["parents"]] == [listed["slave-2"]["node_id"]]
        assert f"http://{body['parents'][0]['host'] or 'localhost'}:{body['parents'][0]['port']}".endswith(
            tiers.first["media_url"].rpartition(":")[2]
        )
        assert (await ask(tiers.origin, second, name))[0] == 403, "the second tier has no business with the origin"
        assert (await ask(tiers.first, first, name))[0] == 403, "an edge never pulls from its own tier"
        assert (await ask(tiers.second, first, name))[0] == 403
        status, body = await ask(tiers.first, second, name)
        assert (status, body["parents"]) == (409, []), "it has its one edge"
        status, body = await ask(tiers.second, second, name)
        assert (status, body["code"] if "code" in body else body["type"][-14:]) == (409, "no_relay_place")
        for node in (tiers.origin, tiers.first, tiers.second):
            for token, expected in (
                (TOKENS.issue_node("slave-x"), 403),
                (TOKENS.issue("mina", "student", "stream")[0], 403),
                ("x", 401),
                (TOKENS.issue_relay(asker(room="other", tier=2)), 403),
            ):
                assert (await ask(node, token, name))[0] == expected
    assert await metric(session, tiers.origin, "airnode_media_relay_places_refused_total") >= 3
    assert await metric(session, tiers.origin, "airnode_media_relay_refused_total") >= 12
    for node in (tiers.first, tiers.second):
        assert await status_of(session, viewer(node)) == 200
    await tiers.until(s2=("s1", 1), s3=("s2", 2))
