"""Joining, and the orders of admins: real processes with only an address and a token in the configuration."""

import asyncio
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from tests.support.cluster import ADMIN, TEACHER, TOKEN, Cluster, registration
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

JOIN = {"access": "node", "node_id": "a", "version": "1"}


async def refusal(node: AirnodeProcess) -> str:
    """Return the one sentence that a node prints when it cannot start."""
    await node.launch()
    assert await node.wait() == 2, node.log
    lines = [line for line in node.log.splitlines() if line and not line.startswith("{")]
    assert len(lines) == 1, node.log
    assert "Traceback" not in node.log
    return lines[0]


async def readiness(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(f"{url}/health/readiness") as response:
        return response.status, (await response.text()).strip()


# -- joining ----------------------------------------------------------------------------------------------------------


async def test_a_slave_needs_an_address_and_a_token_and_takes_viewers_within_5_s(cluster: Cluster):
    for name in ("slave-1", "slave-2", "slave-3"):  # a busy machine may hold one of them up
        slave = cluster.slave(name)
        began_s = time.monotonic()
        await slave.launch()
        node = await cluster.until(name, "healthy")
        took_s = time.monotonic() - began_s
        await slave.ready()
        if took_s < 5:
            break
        await slave.stop()
    assert took_s < 5
    status, student = await cluster.student("mina")
    assert status == 200
    assert student["node_id"] == node["node_id"]
    assert urlsplit(student["hls_url"]).port == node["media_port"] == urlsplit(slave["media_url"]).port
    async with cluster.session.get(student["hls_url"]) as response:  # the slave verifies the token itself
        assert response.status == 404
        assert (await response.json())["detail"] == "This class is not live."
    async with cluster.session.get(student["hls_url"] + "x") as response:
        assert response.status == 401


async def test_a_restarted_slave_is_the_same_node(cluster: Cluster):
    slave = await cluster.add_slave("slave-1")
    before = (await cluster.listed())["slave-1"]
    assert await slave.stop() == 0
    assert await cluster.listed() == {}, "who says goodbye is forgotten at once"
    await slave.start()
    assert (await cluster.until("slave-1", "healthy"))["node_id"] == before["node_id"]
    assert len(await cluster.listed()) == 1


async def test_a_slave_waits_for_its_master(tmp_path: Path, session: aiohttp.ClientSession):
    cluster = Cluster(tmp_path, session)
    port, slave_port = free_ports(2)  # reserved before anything listens there
    slave = cluster.slave("slave-1", "--port", str(slave_port), master_url=f"http://127.0.0.1:{port}")
    try:
        await slave.launch()

        async def joining() -> bool:
            try:
                return await readiness(session, f"http://127.0.0.1:{slave_port}") == (503, "joining")
            except aiohttp.ClientConnectionError:
                return False

        await eventually(joining, what="the slave answers health while it waits")
        await eventually(lambda: "master_not_reached" in slave.log, what="it says what it waits for")
        cluster.master.args += ("--port", str(port))
        await cluster.start()
        await slave.ready()
        assert slave.log.count("Nothing listens at") == 1
        assert (await readiness(session, slave["api_url"]))[0] == 200
    finally:
        await cluster.close()


async def test_a_waiting_slave_stops_at_once(cluster: Cluster, session: aiohttp.ClientSession):
    slave = cluster.slave("slave-1", master_url="http://127.0.0.1:9")
    await slave.launch()
    await eventually(lambda: "master_not_reached" in slave.log, what="it waits")
    assert await slave.stop() == 0


@pytest.mark.parametrize(
    ("token", "says"),
    [("0" * 31 + "123456789", "refuses this node: The cluster token is not right"), ("", "cluster token is needed")],
)
async def test_a_slave_without_the_right_token_exits_with_one_sentence(cluster: Cluster, token: str, says: str):
    assert says in await refusal(cluster.slave("stranger", token=token))


async def test_a_slave_with_another_key_exits_with_one_sentence(cluster: Cluster):
    slave = cluster.slave("slave-1")
    slave.env["JWT_SECRET_KEY"] = "another-key-that-is-long-enough-for-all"
    assert "is not the master's" in await refusal(slave)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AIRNODE_CLUSTER__TOKEN", "", "AIRNODE_CLUSTER__TOKEN"),
        ("AIRNODE_CLUSTER__TOKEN", "too-short", "32 characters"),
        ("AIRNODE_CLUSTER__TOKEN", "change-me-change-me-change-me-change-me", "everybody knows"),
        ("JWT_SECRET_KEY", "", "JWT_SECRET_KEY"),
    ],
)
async def test_a_master_needs_the_shared_secrets(tmp_path: Path, session, name: str, value: str, says: str):
    master = Cluster(tmp_path, session).master
    master.env = {key: text for key, text in {**master.env, name: value}.items() if text}
    await master.launch()
    assert await master.wait() == 2
    assert says in master.log
    assert "openssl rand -hex 32" in master.log
    assert "Traceback" not in master.log


async def test_a_master_with_its_own_stores_generates_sign_in_secrets(cluster: Cluster, session):
    """They are the same after a restart, private, and in the file that operators read."""
    master = cluster.master
    assert await master.stop() == 0
    master.env = {name: text for name, text in master.env.items() if not name.startswith("AIRNODE_AUTH__")}
    await master.start()
    made = master["teacher_secret"], master["admin_secret"]
    assert len({*made, TEACHER, ADMIN}) == 4
    assert stat.S_IMODE((master.data_dir / "secrets.json").stat().st_mode) == 0o600
    assert "jwt_secret" not in (master.data_dir / "secrets.json").read_text()
    for secret, status in (made[0], 200), (TEACHER, 403), ("", 403):
        body = {"user_type": "teacher", "user_id": "kim", "secret": secret}
        async with session.post(f"{master['api_url']}/api/token", json=body) as response:
            assert response.status in ((503,) if status == 200 else (status,))  # admitted, but there is no slave yet
    assert await master.stop() == 0
    await master.start()
    assert (master["teacher_secret"], master["admin_secret"]) == made


async def test_the_token_can_be_in_a_file(cluster: Cluster, tmp_path: Path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    slave = cluster.slave("slave-1", "--set", f"cluster.token_file={tmp_path / 'token'}", token="")
    await slave.start()
    await cluster.until("slave-1", "healthy")


async def test_a_slave_reports_how_viewers_reach_it(cluster: Cluster):
    slave = cluster.slave("slave-1")
    slave.env["NODE_HOST"] = "edge.school.example"
    await slave.start()
    assert (await cluster.until("slave-1", "healthy"))["host"] == "edge.school.example"
    _, student = await cluster.student("mina")
    assert urlsplit(student["hls_url"]).hostname == "edge.school.example"


async def test_a_standalone_node_with_a_token_takes_slaves(tmp_path: Path, session: aiohttp.ClientSession):
    """It generates its own key, and shares it with the slave."""
    cluster = Cluster(tmp_path, session)
    cluster.master.role, cluster.master.env = "standalone", {"AIRNODE_CLUSTER__TOKEN": TOKEN}
    try:
        await cluster.start(1)
        assert set(await cluster.listed()) == {"master", "slave-1"}
        assert (await cluster.call("GET", "/cluster/nodes", secret=cluster.master["admin_secret"]))[0] == 200
        nodes = {(await cluster.student(f"s{index}"))[1]["node_id"] for index in range(20)}
        assert len(nodes) == 2
    finally:
        await cluster.close()


# -- what the master hands out ---------------------------------------------------------------------------------------


async def test_only_the_cluster_token_registers(cluster: Cluster):
    for secret, expected in (("", 401), ("wrong", 403), (TEACHER, 403), (ADMIN, 403)):
        status, body = await cluster.call("POST", "/cluster/register", secret=secret, json=registration())
        assert status == expected, body
        assert "redis_url" not in body
        status, body = await cluster.call("POST", "/cluster/join", secret=secret, json=JOIN)
        assert status == expected, body
        assert "redis_url" not in body
    status, body = await cluster.call("POST", "/cluster/register", json=registration(node_id="../../x"))
    assert (status, body["errors"][0]["path"]) == (400, "node_id")


async def test_a_slave_of_an_earlier_version_gets_the_same(cluster: Cluster):
    status, joined = await cluster.call("POST", "/cluster/join", json=JOIN)
    assert status == 200, joined
    status, registered = await cluster.call("POST", "/cluster/register", json=registration(node_id="a"))
    assert status == 200, registered
    same = ("redis_url", "jwt_secret", "node_host")
    assert {name: joined[name] for name in same} == {name: registered[name] for name in same}
    assert {key.partition(".")[2]: value for key, value in joined["settings"].items()} == {
        "heartbeat_s": registered["heartbeat_s"],
        "lease_s": registered["lease_s"],
        "mode": registered["recording_mode"],
        "student_download": registered["student_download"],
    }


async def test_wrong_tokens_are_rate_limited(cluster: Cluster):
    statuses = [
        (await cluster.call("POST", "/cluster/register", secret=f"guess-{index}", json=registration()))[0]
        for index in range(64)
    ]
    assert set(statuses) == {403, 429}
    assert statuses[-1] == 429


async def test_the_masters_redis_is_closed_to_others_and_limited_for_nodes(cluster: Cluster):
    parts = urlsplit(await cluster.redis_url())
    assert parts.username == "airnode-node"
    reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
    for command in ("PING", "GET airnode:x", "INFO", "CONFIG GET *", "SUBSCRIBE airnode:ch:nodes", "AUTH default x"):
        writer.write(command.encode() + b"\r\n")
        answer = await reader.readline()
        assert answer.startswith((b"-NOAUTH", b"-WRONGPASS")), (command, answer)
    writer.close()
    async with aioredis.from_url(parts.geturl()) as node:
        await node.set("airnode:test", 1)
        for command in (
            ("SET", "other", "1"),
            ("PUBLISH", "other", "x"),
            ("KEYS", "*"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("ACL", "LIST"),
            ("CLIENT", "LIST"),
            ("SHUTDOWN",),
            ("INFO",),
            ("MONITOR",),
            ("EVAL", "return redis.call('GET', 'other')", "0"),
        ):
            with pytest.raises(RedisError, match=r"(?i)permission"):
                await node.execute_command(*command)


# -- admins -----------------------------------------------------------------------------------------------------------


async def test_who_may_read_and_who_may_change(cluster: Cluster):
    await cluster.add_slave("slave-1")
    async with cluster.session.post(
        f"{cluster.master['api_url']}/api/token", json={"user_type": "teacher", "user_id": "t", "secret": TEACHER}
    ) as response:
        teacher = (await response.json())["token"]
    _, student = await cluster.student("mina")
    for path in ("/cluster/nodes", "/cluster/best-node", "/cluster/streams"):
        refused = [("", 401), ("wrong", 403), (student["token"], 403)]
        for secret, expected in (*refused, *((secret, 200) for secret in (teacher, TEACHER, ADMIN, TOKEN))):
            status, body = await cluster.call("GET", path, secret=secret)
            assert status == expected, (path, secret, body)
    for secret, expected in (("", 401), ("wrong", 403), (teacher, 403), (TEACHER, 403), (ADMIN, 404), (TOKEN, 404)):
        for method, path in (("POST", "x/drain"), ("POST", "x/undrain"), ("DELETE", "x")):
            status, body = await cluster.call(method, f"/cluster/nodes/{path}", secret=secret)
            assert status == expected, (method, path, secret, body)


async def test_a_drained_node_takes_no_new_viewers_until_it_is_undrained(cluster: Cluster):
    first, _ = await asyncio.gather(cluster.add_slave("slave-1"), cluster.add_slave("slave-2"))
    nodes = await cluster.listed()
    node_id, other = nodes["slave-1"]["node_id"], nodes["slave-2"]["node_id"]
    assert (await cluster.call("POST", f"/cluster/nodes/{node_id}/drain", secret=ADMIN))[0] == 200
    await cluster.until("slave-1", "draining")
    assert {(await cluster.student(f"s{index}"))[1]["node_id"] for index in range(20)} == {other}
    assert (await cluster.call("GET", "/cluster/best-node"))[1]["node_id"] == other

    async def says_so() -> bool:
        async with cluster.session.get(f"{first['api_url']}/health") as response:
            return "an admin wants no new viewers" in str((await response.json())["checks"]["cluster"]["detail"])

    await eventually(says_so, what="the node knows")
    assert (await cluster.call("POST", f"/cluster/nodes/{node_id}/undrain", secret=ADMIN))[0] == 200
    await cluster.until("slave-1", "healthy")
    assert node_id in {(await cluster.student(f"t{index}"))[1]["node_id"] for index in range(20)}


@pytest.mark.ffmpeg
async def test_a_removed_node_reports_it_and_joins_again_only_after_a_restart(cluster: Cluster, clip: Path):
    slave = await cluster.add_slave("slave-1")
    publisher = await Publisher.of_clip(f"{slave['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
    _, student = await cluster.student("mina")

    async def entered() -> int:
        async with cluster.session.get(student["hls_url"]) as response:
            return response.status

    async def plays() -> bool:
        return await entered() == 200

    await eventually(plays, what="the class is live")
    node_id = (await cluster.listed())["slave-1"]["node_id"]
    assert (await cluster.call("DELETE", f"/cluster/nodes/{node_id}", secret=ADMIN))[0] == 200
    assert await cluster.listed() == {}
    await eventually(lambda: "node_removed" in slave.log, what="the node knows")
    status, body = await cluster.student("late")
    assert (status, body["title"]) == (503, "No healthy nodes available")
    assert await entered() == 503
    status, text = await readiness(cluster.session, slave["api_url"])
    assert (status, text) == (503, "failing: cluster")
    assert await cluster.listed() == {}
    await publisher.kill()
    await slave.stop()
    await slave.start()
    assert (await cluster.until("slave-1", "healthy"))["node_id"] == node_id
