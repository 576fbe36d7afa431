"""Nodes that fail, return, or send heartbeats without Redis, as real processes."""

import asyncio
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.cluster import QUICK, Cluster, beat
from tests.support.ffmpeg import Publisher
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


async def test_a_killed_node_is_offline_within_its_lease_and_remembered(cluster: Cluster):
    first, _ = await asyncio.gather(cluster.add_slave("slave-1"), cluster.add_slave("slave-2"))
    await first.kill()
    node = await cluster.until("slave-1", "offline", within_s=5)
    assert node["current_connections"] == 0
    _, body = await cluster.call("GET", "/cluster/nodes")
    assert (body["total_nodes"], body["healthy_nodes"], body["offline_nodes"]) == (2, 1, 1)
    assert body["total_capacity"] == 150
    other = (await cluster.listed())["slave-2"]["node_id"]
    assert {(await cluster.student(f"s{index}"))[1]["node_id"] for index in range(20)} == {other}


async def test_old_nodes_are_forgotten_and_reading_can_be_open_to_everybody(tmp_path: Path, session):
    cluster = Cluster(tmp_path, session, *QUICK, "--set", "cluster.remember_s=2", "--set", "cluster.open_status=true")
    try:
        await cluster.start()
        status, answer = await cluster.call("POST", "/cluster/heartbeat", json=beat("ghost", at=time.time()))
        assert (status, answer) == (200, {"order": "", "reserved": 0})
        await cluster.until("ghost", "offline")

        async def forgotten() -> bool:
            status, body = await cluster.call("GET", "/cluster/nodes", secret="")
            assert status == 200
            return body["total_nodes"] == 0

        await eventually(forgotten, what="the node is forgotten after cluster.remember_s")
        assert (await cluster.call("POST", "/cluster/nodes/ghost/drain", secret=""))[0] == 401
    finally:
        await cluster.close()


async def test_without_a_node_there_is_no_best_node(cluster: Cluster):
    for path in ("/cluster/best-node", "/cluster/best-node?room=stream"):
        status, body = await cluster.call("GET", path)
        assert (status, body["title"], body["detail"]) == (
            503,
            "No healthy nodes available",
            "No healthy nodes available",
        )
        assert body["retry_after_s"] > 0


async def test_a_killed_master_loses_nothing(cluster: Cluster):
    slave = await cluster.add_slave("slave-1")
    await cluster.add_slave("slave-2")
    before = await cluster.listed()
    drained = before["slave-2"]["node_id"]
    await cluster.call("POST", f"/cluster/nodes/{drained}/drain")
    redis_url = await cluster.redis_url()
    master = cluster.master
    master.args += ("--port", str(urlsplit(master["api_url"]).port))
    await master.kill()
    await eventually(lambda: "heartbeat_missed" in slave.log, what="the slaves notice")
    await master.start()
    assert await cluster.redis_url() == redis_url
    await cluster.until("slave-1", "healthy")
    await cluster.until("slave-2", "draining")
    after = await cluster.listed()
    assert {name: node["node_id"] for name, node in after.items()} == {
        name: node["node_id"] for name, node in before.items()
    }


async def test_a_slave_that_cannot_reach_redis_sends_heartbeats_through_the_master(cluster: Cluster):
    parts = urlsplit(await cluster.redis_url())
    proxy = Proxy(parts.port or 0)
    port = await proxy.open()
    through = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
    slave = await cluster.add_slave("slave-1", "--redis-url", through)
    try:
        await proxy.close()
        await eventually(lambda: "heartbeat_through_master" in slave.log, what="the slave uses the master")
        node_id = (await cluster.listed())["slave-1"]["node_id"]
        await cluster.call("POST", f"/cluster/nodes/{node_id}/drain")
        await eventually(lambda: '"order":"drain"' in slave.log, what="orders come through the master, too")
        await cluster.call("POST", f"/cluster/nodes/{node_id}/undrain")
        since = (await cluster.until("slave-1", "healthy"))["last_beat"]

        async def beats() -> bool:
            node = (await cluster.listed())["slave-1"]
            assert node["status"] == "healthy"
            return bool(node["last_beat"] > since + 3)  # twice its lease

        await eventually(beats, what="the node stays")
        await proxy.open(port)
        await eventually(lambda: "heartbeat_through_redis_again" in slave.log, what="the slave is back")
    finally:
        await proxy.close()


class Proxy:
    """A TCP proxy to a port of this machine that can be closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._through, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, inner_writer}
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            self._writers -= {writer, inner_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.ffmpeg
async def test_a_publisher_goes_back_to_its_origin(cluster: Cluster, clip: Path):
    await asyncio.gather(*(cluster.add_slave(f"slave-{index}") for index in (1, 2, 3)))
    status, best = await cluster.call("GET", "/cluster/best-node?room=stream")
    assert status == 200
    assert re.fullmatch(r"rtmp://localhost:\d+/live", best["rtmp_url"])
    publisher = await Publisher.of_clip(f"{best['rtmp_url']}/{cluster.master['stream_key']}", clip).start()

    async def stream() -> dict | None:
        _, body = await cluster.call("GET", "/cluster/streams")
        return next((each for each in body["streams"] if each["room"] == "stream" and each["bitrate_bps"]), None)

    try:
        found = await eventually(stream, what="the stream is listed")
        assert found is not None
        assert (found["origin"], found["state"]) == (best["node_id"], "live")
        assert found["epoch"] > 0
        for _ in range(10):
            assert (await cluster.call("GET", "/cluster/best-node?room=stream"))[1]["node_id"] == best["node_id"]
        await cluster.call("POST", f"/cluster/nodes/{best['node_id']}/drain")
        await cluster.until(best["node_name"], "draining")
        assert (await cluster.call("GET", "/cluster/best-node?room=stream"))[1]["node_id"] != best["node_id"]
    finally:
        await publisher.kill()
