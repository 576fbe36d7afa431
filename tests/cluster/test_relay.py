"""Rooms watched on slaves that do not publish them: real processes, ffmpeg as the teacher."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from airnode.web.tokens import RelayClaims, Tokens
from tests.support.cluster import KEY, Cluster
from tests.support.ffmpeg import Publisher
from tests.support.follower import Follower
from tests.support.livemp4 import LiveReader
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]

TOKENS = Tokens(KEY, 600)


def viewer(node: AirnodeProcess, user: str = "mina", name: str = "media.m3u8", room: str = "stream") -> str:
    """Return a student's address on a given node: any node verifies any token."""
    return f"{node['media_url']}/v/{TOKENS.issue(user, 'student', room)[0]}/{room}/{name}"


def asker(node_id: str = "slave-x", room: str = "stream", tier: int = 1) -> RelayClaims:
    """Return the content of an edge's credential."""
    return RelayClaims(node_id, room, tier, "http", "127.0.0.1", 9)


async def metric(session: aiohttp.ClientSession, node: AirnodeProcess, name: str, label: str = "") -> float:
    async with session.get(f"{node['api_url']}/metrics") as response:
        text = await response.text()
    pattern = rf"^{re.escape(name)}(?:\{{[^}}]*{re.escape(label)}[^}}]*\}})? ([0-9.e+]+)$"
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))


async def status_of(session: aiohttp.ClientSession, url: str, **kwargs: Any) -> int:
    async with session.get(url, **kwargs) as response:
        return response.status


async def served(session: aiohttp.ClientSession, node: AirnodeProcess) -> bool:
    return await status_of(session, viewer(node, name="index.m3u8")) == 200


@pytest.fixture
async def slaves(cluster: Cluster) -> list[AirnodeProcess]:
    return list(await asyncio.gather(cluster.add_slave("slave-1"), cluster.add_slave("slave-2")))


@pytest.fixture
async def teacher(cluster: Cluster, slaves: list[AirnodeProcess], clip: Path) -> AsyncIterator[Publisher]:
    """Publishes to the first slave."""
    publisher = await Publisher.of_clip(f"{slaves[0]['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    await eventually(lambda: served(cluster.session, slaves[0]), what="the class is live")
    await eventually(lambda: served(cluster.session, slaves[1]), what="the edge has it")
    yield publisher
    await publisher.kill()


async def decoded(media: bytes) -> tuple[int, str]:
    """Return the number of frames that ffmpeg decodes, and its error messages."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        "-i",
        "pipe:0",
        "-map",
        "0:v",
        "-f",
        "framecrc",
        "-",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate(media)
    return sum(line.startswith(b"0,") for line in output.splitlines()), errors.decode()


async def test_an_edge_plays_the_origins_class_without_a_gap(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher
):
    follower = await Follower(cluster.session, viewer(slaves[1])).start()
    try:
        await follower.segments(6)  # the last one may not have arrived yet
    finally:
        await follower.stop()
    assert follower.msns == list(range(follower.msns[0], follower.msns[0] + len(follower.msns)))
    frames, errors = await decoded(follower.media())
    assert errors == ""
    assert frames >= 5 * 30 - 1


async def test_live_mp4_comes_through_an_edge(cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher):
    readers = [await LiveReader(cluster.session, viewer(slaves[1], f"s{n}", "live.mp4")).start() for n in range(3)]
    try:
        for reader in readers:
            stream = await reader.fragments(60)
            times = [sample.time for sample in stream.samples(1)]
            assert times == sorted(set(times))
            assert stream.fragments[0].key
        assert await metric(cluster.session, slaves[0], "airnode_media_relay_requests_total", 'kind="live"') == 1
    finally:
        for reader in readers:
            await reader.close()


async def test_twenty_viewers_cost_the_origin_as_much_as_one(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher
):
    followers = [await Follower(cluster.session, viewer(slaves[1], f"s{n}")).start() for n in range(20)]
    try:
        await asyncio.gather(*(follower.segments(4, 40) for follower in followers))
        counts = {
            kind: await metric(
                cluster.session, slaves[1], "airnode_media_relay_upstream_requests_total", f'kind="{kind}"'
            )
            for kind in ("playlist", "object")
        }
        fetched = max(follower.parts for follower in followers)
        reloads = max(follower.reloads for follower in followers)
    finally:
        for follower in followers:
            await follower.stop()
    assert sum(follower.parts for follower in followers) >= 19 * fetched
    # One prefetched before the viewers' first segment, and one from the hint after their last.
    assert fetched <= counts["object"] <= fetched + 20
    assert counts["playlist"] <= reloads + 20


async def test_viewers_are_counted_where_they_watch(cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher):
    followers = [await Follower(cluster.session, viewer(slaves[n % 2], f"s{n}")).start() for n in range(5)]
    nodes = await cluster.listed()

    async def counted() -> bool:
        _, body = await cluster.call("GET", "/cluster/streams")
        stream = body["streams"][0]
        edges = {nodes["slave-1"]["node_id"]: 3, nodes["slave-2"]["node_id"]: 2}
        assert stream["origin"] == nodes["slave-1"]["node_id"]
        _, student = await cluster.student("asks")
        headers = {"Authorization": f"Bearer {student['token']}"}
        async with cluster.session.get(f"{cluster.master['api_url']}/api/rooms/stream", headers=headers) as response:
            room = await response.json()
        return (stream["viewers"], stream["edges"], room["viewers"]) == (5, edges, 5)

    try:
        await eventually(counted, what="each viewer is counted once, at its node, and the master sums them")
    finally:
        for follower in followers:
            await follower.stop()


async def test_who_may_fetch_what(cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher):
    session, (origin, edge) = cluster.session, slaves
    student = TOKENS.issue("mina", "student", "stream")[0]
    node = TOKENS.issue_node("slave-x")
    first, second = (TOKENS.issue_relay(asker(tier=tier)) for tier in (1, 2))
    text = await (await session.get(viewer(edge))).text()
    names = ["index.m3u8", "media.m3u8", "live.mp4", *re.findall(r"[0-9a-f]+_(?:seg|part|init)\w*\.mp4", text)[:4]]
    forged = Tokens("another-key-that-is-long-enough-for-all", 600)
    for name in names:
        for token in ("x", node, first, forged.issue("mina", "student", "stream")[0]):
            assert await status_of(session, f"{edge['media_url']}/v/{token}/stream/{name}") == 401, name
        assert await status_of(session, f"{edge['media_url']}/v/{student}/other/{name}") == 403
        refused = [
            (student, 403),
            (node, 403),
            (second, 403),
            (TOKENS.issue_relay(asker(room="other")), 403),
            ("", 401),
            ("x", 401),
            (forged.issue_node("slave-x"), 401),
            (forged.issue_relay(asker()), 401),
        ]
        for token, expected in refused:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            relay = f"{origin['media_url']}/relay/stream/{name}"
            assert await status_of(session, relay, headers=headers) == expected, name
        if name != "live.mp4":
            headers = {"Authorization": f"Bearer {first}"}
            assert await status_of(session, f"{origin['media_url']}/relay/stream/{name}", headers=headers) == 200
        for token in (first, node, student):
            headers = {"Authorization": f"Bearer {token}"}
            relay = f"{edge['media_url']}/relay/stream/{name}"
            assert await status_of(session, relay, headers=headers) == 403, "an edge is no origin"
    assert await status_of(session, viewer(edge, name="0_part9.mp4")) == 404
    assert await status_of(session, viewer(edge, room="nobody")) == 404


async def test_viewers_follow_when_the_teacher_goes_to_another_node(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher, clip: Path
):
    third = await cluster.add_slave("slave-3")
    await eventually(lambda: served(cluster.session, third), what="the third has it")
    followers = [await Follower(cluster.session, viewer(node)).start() for node in (slaves[0], slaves[1], third)]
    live = await LiveReader(cluster.session, viewer(slaves[1], "l", "live.mp4")).start()
    try:
        for follower in followers:
            await follower.segments(2)
        await teacher.kill()
        again = await Publisher.of_clip(f"{third['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
        try:
            before = [follower.parts for follower in followers]
            await eventually(lambda: third.log.count("room_claimed") == 1, what="the room is claimed")
            for follower, parts in zip(followers, before, strict=True):
                await follower.more_parts(20)
                assert follower.parts > parts
                assert len(follower.runs) == 2
                assert follower.msns == sorted(set(follower.msns)), "sequence numbers only grow"
                for run in (0, 1):
                    assert (await decoded(follower.media(run)))[1] == ""
            await eventually(lambda: live.ended, what="live.mp4 of the old origin ends")
            fresh = await LiveReader(cluster.session, viewer(slaves[1], "l", "live.mp4")).start()
            await fresh.fragments(30)
            await fresh.close()
            nodes = await cluster.listed()
            _, body = await cluster.call("GET", "/cluster/streams")
            assert [stream["origin"] for stream in body["streams"]] == [nodes["slave-3"]["node_id"]]
            assert "room_lost" in slaves[0].log
        finally:
            await again.kill()
    finally:
        await live.close()
        for follower in followers:
            await follower.stop()


async def test_a_live_class_is_refused_on_another_node(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher, clip: Path
):
    second = await Publisher.of_clip(f"{slaves[1]['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    code, errors = await second.result()
    assert code != 0
    assert "live already" in errors
    assert teacher.running


async def test_an_old_origin_that_comes_back_cannot_take_the_room_back(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher, clip: Path
):
    old, new = slaves
    follower = await Follower(cluster.session, viewer(new)).start()
    await follower.segments(1)
    old.pause()  # it and its publisher are cut off, as by a partition
    again: Publisher | None = None
    try:

        async def taken() -> bool:
            nonlocal again
            if again is None or not again.running:
                again = await Publisher.of_clip(f"{new['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
            return "room_claimed" in new.log

        await eventually(taken, what="the other node takes the class over")
        await eventually(lambda: served(cluster.session, new), what="it serves it")
        old.resume()
        await eventually(lambda: "room_lost" in old.log, what="the old origin lets go")
        code, _ = await teacher.result()
        assert code != 0
        await eventually(lambda: served(cluster.session, old), what="the old origin is an edge now")
        behind = await Follower(cluster.session, viewer(old, "behind")).start()
        await behind.segments(2)
        await behind.stop()
        nodes = await cluster.listed()
        _, body = await cluster.call("GET", "/cluster/streams")
        assert [stream["origin"] for stream in body["streams"]] == [nodes["slave-2"]["node_id"]]
        assert again is not None
        assert again.running
    finally:
        old.resume()
        await follower.stop()
        if again is not None:
            await again.kill()


async def test_students_of_a_killed_edge_get_another_node_and_continue_to_play(
    cluster: Cluster, slaves: list[AirnodeProcess], teacher: Publisher
):
    nodes = await cluster.listed()
    edge_id = nodes["slave-2"]["node_id"]
    follower = await Follower(cluster.session, viewer(slaves[1])).start()
    await follower.segments(1)
    await slaves[1].kill()
    with pytest.raises(aiohttp.ClientError):
        await follower.more_parts(100, 10)

    async def elsewhere() -> dict[str, Any] | None:
        status, student = await cluster.student("mina")
        return student if status == 200 and student["node_id"] != edge_id else None

    student = await eventually(elsewhere, 5, "another place")
    assert student is not None
    media_url = f"{slaves[0]['media_url']}/v/{student['token']}/stream/media.m3u8"
    assert student["hls_url"].startswith(slaves[0]["media_url"])
    again = await Follower(cluster.session, media_url).start()
    await again.more_parts(10, 5)
    await again.stop()
