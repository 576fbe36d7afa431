"""airnode as a process: what it prints, how it ends, what survives."""

import asyncio
import json
import os
import re
import socket
import stat
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess, Api
from tests.support.tls import make_certificate
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

FIELDS = {
    "pid",
    "api_url",
    "media_url",
    "rtmp_url",
    "rtmp_server",
    "stream_key",
    "studio_url",
    "class_url",
    "class_code",
    "teacher_secret",
}


async def command(*args: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "airnode",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def sentence(err: str) -> str:
    """The one line that is no log."""
    lines = [line for line in err.splitlines() if line and not line.startswith("{")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


async def test_endpoints_are_complete_private_and_true(node: AirnodeProcess, api: Api):
    path = node.data_dir / "endpoints.json"
    assert set(node.endpoints) >= FIELDS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert node["rtmp_url"] == f"{node['rtmp_server']}/{node['stream_key']}"
    for url in (node["api_url"] + "/health", node["studio_url"].split("#")[0], node["class_url"]):
        status, _, _ = await api.get(url)
        assert status == 200, url
    printed = node.log
    for name in ("studio_url", "rtmp_server", "stream_key", "class_url", "class_code"):
        assert node[name] in printed
    assert await node.stop() == 0
    assert not path.exists()


async def test_pages_are_compressed_and_assets_are_cached_for_ever(node: AirnodeProcess, api: Api):
    status, headers, body = await api.get(node["class_url"])
    assert (status, headers["Cache-Control"]) == (200, "no-cache")
    for name in re.findall(rb'"/assets/([^"]+)"', body):
        async with api.session.get(f"{node['api_url']}/assets/{name.decode()}") as response:
            assert response.status == 200
            assert response.headers["Content-Encoding"] == "gzip"
            assert "immutable" in response.headers["Cache-Control"]


async def test_health_for_people_and_for_programs(node: AirnodeProcess, api: Api):
    _, _, body = await api.get(node["api_url"] + "/health")
    health = json.loads(body)
    assert {"status", "role", "node_id", "version", "uptime_s", "checks"} <= set(health)
    assert health["status"] == "healthy"
    assert {"redis", "postgres", "nodes"} <= set(health["checks"])
    for path in ("/health/liveness", "/health/readiness"):
        assert (await api.get(node["api_url"] + path))[0] == 200
    metrics = (await api.get(node["api_url"] + "/metrics"))[2].decode()
    for name in ("airnode_info", "airnode_rtmp_connections", "airnode_media_viewers", "process_resident_memory_bytes"):
        assert f"\n{name}" in metrics
    code, out, _ = await command("health", node["api_url"])
    assert code == 0
    assert "healthy" in out
    code, out, _ = await command("health", node["api_url"], "--ready", "--json")
    assert (code, json.loads(out)["status"]) == (0, "ready")
    code, out, _ = await command("health", "http://127.0.0.1:9")
    assert code == 1
    assert "unreachable" in out
    code, out, _ = await command("health", "--data-dir", str(node.data_dir), "--ready")
    assert (code, out.strip()) == (0, f"{node['health_url']}: ready")
    code, out, _ = await command("health", "--data-dir", str(node.data_dir.parent))
    assert code == 1
    assert "no node is ready with this data directory" in out


async def test_health_of_the_node_here_needs_no_trusted_certificate(tmp_path: Path):
    cert, key = make_certificate(tmp_path)
    args = ("--set", f"http.tls_cert={cert}", "--set", f"http.tls_key={key}", "--node-host", "school.example")
    node = AirnodeProcess(tmp_path / "data", *args)
    try:
        await node.start()
        assert node["api_url"].startswith("https://school.example:")
        code, out, _ = await command("health", "--data-dir", str(node.data_dir))
        assert (code, "healthy" in out) == (0, True), out
        code, out, _ = await command("health", node["health_url"])
        assert (code, "unreachable" in out) == (1, True), out
    finally:
        await node.close()


@pytest.mark.parametrize("flag", ["--port", "--media-port", "--rtmp-port"])
async def test_a_port_in_use_is_one_sentence(tmp_path: Path, flag: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"--port": "0", "--media-port": "0", "--rtmp-port": "0", flag: str(port)}
        code, _, err = await command(
            "--role",
            "standalone",
            "--host",
            "127.0.0.1",
            "--data-dir",
            str(tmp_path / "d"),
            *(part for pair in ports.items() for part in pair),
        )
    assert code == 2
    assert not (tmp_path / "d" / "postgres").exists()  # it is noticed before the databases are started
    assert str(port) in sentence(err)
    assert flag in sentence(err)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--role", "standalone", "--port", "x"], "http.port"),
        (["--role", "standalon"], "did you mean standalone"),
        (["--role", "standalone", "--host", "not-an-address.invalid"], "--host"),
        (
            ["--role", "master", "--redis-url", "redis://127.0.0.1:1", "--set", "redis.connect_timeout_s=1"],
            "JWT_SECRET_KEY",
        ),
        (["--role", "slave"], "redis.url"),
    ],
)
async def test_what_cannot_run_is_a_plain_sentence(tmp_path: Path, args: list[str], says: str):
    ports = ["--media-port", "0", "--rtmp-port", "0"]
    if "--port" not in args:
        ports += ["--port", "0"]
    env = {} if says == "JWT_SECRET_KEY" else {"JWT_SECRET_KEY": "0123456789abcdef" * 3}
    code, _, err = await command(*args, *ports, "--data-dir", str(tmp_path / "d"), env=env)
    assert code == 2
    assert "Traceback" not in err
    assert says in err


async def test_an_unwritable_data_directory_is_one_sentence(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("")
    code, _, err = await command("--role", "standalone", "--port", "0", "--data-dir", str(file / "below"))
    assert code == 2
    assert str(file) in sentence(err)


async def test_one_data_directory_has_one_airnode(node: AirnodeProcess):
    code, _, err = await command("--role", "standalone", "--port", "0", "--data-dir", str(node.data_dir))
    assert code == 2
    assert str(node.pid) in sentence(err)
    assert (node.data_dir / "endpoints.json").exists()


@pytest.mark.ffmpeg
async def test_sigterm_in_a_live_class_drains_and_exits_clean(node: AirnodeProcess, api: Api, clip: Path):
    publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
    student = await api.student()
    url = f"{node['media_url']}/v/{student['token']}/stream/media.m3u8"

    async def playlist() -> str:
        status, _, body = await api.get(url)
        return body.decode() if status == 200 else ""

    text = await eventually(playlist, what="the class is live")
    last = int(text.split("MEDIA-SEQUENCE:")[1].split()[0]) + text.count("#EXTINF")
    blocked = asyncio.create_task(api.get(f"{url}?_HLS_msn={last + 1}&_HLS_part=0"))
    events = await api.session.get(f"{node['api_url']}/api/rooms/stream/events?jwt={student['token']}")
    await events.content.readline()
    code = await node.stop()
    assert code == 0
    status, _, _ = await blocked
    assert status in (200, 503)
    await events.read()
    code, errors = await publisher.result()
    assert "shutting down" in errors
    assert "node_stopped" in node.log


@pytest.mark.ffmpeg
async def test_kill_9_loses_no_class_user_or_key(tmp_path: Path, clip: Path):
    node = AirnodeProcess(tmp_path / "data")
    async with aiohttp.ClientSession() as session:
        try:
            api = Api(await node.start(), session)
            teacher = await api.teacher()
            async with session.post(
                f"{node['api_url']}/api/classes",
                json={"title": "Algebra 2"},
                headers={"Authorization": f"Bearer {teacher['token']}"},
            ) as response:
                assert response.status == 201
                made = await response.json()
            publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
            student = await api.student()

            async def live() -> bool:
                return (await api.room(student["token"]))["state"] == "live"

            await eventually(live, what="the class is live")
            before = dict(node.endpoints)
            await node.kill()
            await publisher.result()
            await node.start()
            for name in ("stream_key", "class_code", "teacher_secret"):
                assert node[name] == before[name]
            code, again = await api.token(user_type="student", user_id="jisoo", code=made["class_code"])
            assert code == 200
            assert again["room"] == made["room"]
            publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
            await eventually(live, what="the old token still opens the class")
            await publisher.stop()
        finally:
            await node.close()


async def test_roles_and_help_are_readable():
    code, out, _ = await command("roles")
    assert code == 0
    names = ["cache-worker", "consumer", "demo-pipeline", "master", "producer", "slave", "standalone", "stt-worker"]
    assert [line.split()[0] for line in out.splitlines()] == ["role", *names]
    code, out, _ = await command("roles", "--json")
    assert {row["role"] for row in json.loads(out)} == set(names)
    for args in ([], ["--help"], ["health", "--help"], ["roles", "--help"], ["config", "--help"]):
        code, out, _ = await command(*args)
        assert code == 0
        assert "Examples:" in out


async def test_a_killed_store_comes_back_and_the_class_goes_on(node: AirnodeProcess, api: Api):
    import psutil

    for name in ("valkey", "postgres"):
        everyone = psutil.process_iter(["name", "ppid"])
        child = next(each for each in everyone if each.info["ppid"] == node.pid and name in each.info["name"])
        child.kill()

        async def works() -> bool:
            status, _ = await api.token(user_type="student", user_id="mina", code=node["class_code"])
            return status == 200

        restarted = f'"process":"{name}"[^\\n]*"event":"process_restarted"'
        await eventually(lambda pattern=restarted: re.search(pattern, node.log), 20, f"{name} is restarted")
        await eventually(works, 20, f"tokens after {name} was killed")
