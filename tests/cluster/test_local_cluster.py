"""The cluster of local processes that is made from the Compose file."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from yarl import URL

from deploy.local.topology import variables_of
from tests.support.chat_rooms import RoomClient
from tests.support.deployment import AIRNODE, ROOT, command
from tests.support.ffmpeg import Publisher
from tests.support.follower import Follower
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

PIPELINE = ("pipeline-init", "cache-worker", "producer", "consumer")
BROKERS = ("kafka-1", "kafka-2", "kafka-3")


class Local:
    """``make cluster-local`` with free ports."""

    def __init__(self, directory: Path, process: asyncio.subprocess.Process, output: Path) -> None:
        self.directory = directory
        self.process = process
        self._output = output

    @property
    def printed(self) -> str:
        return self._output.read_text(errors="replace")

    async def ready(self) -> None:
        def found() -> bool:
            assert self.process.returncode is None, self.printed
            return "the cluster is ready" in self.printed

        await eventually(found, 60, "the cluster is ready")

    def endpoints(self, name: str) -> dict[str, str]:
        return json.loads((self.directory / name / "endpoints.json").read_text())

    def ready_pid(self, name: str) -> int | None:
        """Return the process that is ready, or was when it was killed; None while it starts."""
        with contextlib.suppress(FileNotFoundError):
            return int(self.endpoints(name)["pid"])
        return None

    def pids(self) -> set[int]:
        """Return all its child processes, also embedded servers."""
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    async def gone(self, pids: set[int]) -> None:
        await eventually(lambda: not any(map(running, pids)), 20, "no process is left")

    async def wait(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def local(directory: Path, slaves: int, *more: str) -> AsyncIterator[Local]:
    """A cluster that is starting; its remaining processes are killed at the end."""
    output = directory.with_name(directory.name + ".out")
    args = ["--slaves", str(slaves), "--free-ports", "--host", "127.0.0.1", "--data-dir", str(directory), *more]
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.local", *args, cwd=ROOT, stdout=file, stderr=file
        )
    try:
        yield Local(directory, process, output)
    finally:
        if process.returncode is None:
            left: list[psutil.Process] = []
            with contextlib.suppress(psutil.NoSuchProcess):
                left = psutil.Process(process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            for child in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


async def place_elsewhere(session: aiohttp.ClientSession, master: dict[str, str], media_url: str) -> str:
    """Return the playlist of a student who was not sent to the node of ``media_url``."""
    for number in range(20):
        body = {"user_type": "student", "user_id": f"mina-{number}", "code": master["class_code"]}
        async with session.post(f"{master['api_url']}/api/token", json=body) as response:
            grant = await response.json()
            assert response.status == 200, grant
        if not grant["hls_url"].startswith(media_url):
            async with session.get(grant["hls_url"], allow_redirects=False) as response:
                assert response.status == 302
                return str(response.url.join(URL(response.headers["Location"])))
    raise AssertionError("twenty students in a row were sent to one of four nodes")


async def chat_works(master: dict[str, str], urls: list[str]) -> None:
    """Let students at these addresses talk to each other, each in a browser of its own."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number, url in enumerate(urls):
            browser = await stack.enter_async_context(aiohttp.ClientSession())
            body = {"user_type": "student", "user_id": f"mina-{number}", "code": master["class_code"]}
            async with browser.post(f"{master['api_url']}/api/token", json=body) as response:
                grant = await response.json()
            client = await RoomClient(browser, url.rstrip("/"), token=grant["token"]).connect()
            await client.ask("joinRoom", grant["room"])
            clients.append(client)
        for number, client in enumerate(clients):
            await client.ask("sendMessage", grant["room"], {"content": str(number)})
        for client in clients:
            await client.until(lambda c: c.texts == [str(number) for number in range(len(urls))], "all messages")
            await client.close()


@pytest.mark.ffmpeg
async def test_the_cluster_of_processes_plays_a_class_and_ends_with_ctrl_c(tmp_path: Path, clip: Path):
    async with local(tmp_path / "cluster", 4) as cluster, aiohttp.ClientSession() as session:
        await cluster.ready()
        master, origin = cluster.endpoints("master"), cluster.endpoints("slave-1")
        token = variables_of(cluster.directory / "cluster.env")["AIRNODE_CLUSTER__TOKEN"]

        async def four_healthy() -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{master['api_url']}/cluster/nodes", headers=headers) as response:
                body = await response.json()
            names = {node["node_name"] for node in body["nodes"] if node["status"] == "healthy"}
            return body["healthy_nodes"] == 4 and {"slave-1", "slave-2", "slave-3"} < names

        await eventually(four_healthy, 30, "four nodes are healthy")
        for field in ("studio_url", "class_url", "class_code", "stream_key", "admin_url"):
            assert master[field] in cluster.printed
        assert origin["rtmp_server"] in cluster.printed
        assert (await command(AIRNODE, "health", "--data-dir", str(cluster.directory / "slave-4")))[0] == 0
        await chat_works(master, [master["api_url"], *(cluster.endpoints(f"slave-{n}")["media_url"] for n in (1, 4))])

        publisher = await Publisher.of_clip(f"{origin['rtmp_server']}/{master['stream_key']}", clip).start()
        try:
            playlist = await place_elsewhere(session, master, origin["media_url"])

            async def on_air() -> bool:
                async with session.get(playlist.replace("index.m3u8", "media.m3u8")) as response:
                    return response.status == 200

            await eventually(on_air, 30, "another slave serves the class")
            follower = await Follower(session, playlist.replace("index.m3u8", "media.m3u8")).start()
            try:
                await follower.more_parts(10, 30)
            finally:
                await follower.stop()
        finally:
            await publisher.stop()
        pids = cluster.pids()
        assert len(pids) >= 7  # a master, its two servers, four slaves
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.wait() == 0, cluster.printed
        await cluster.gone(pids)
        code, output = await command(AIRNODE, "health", "--data-dir", str(cluster.directory / "slave-4"))
        assert (code, "no node is ready" in output) == (1, True)


async def test_the_pipeline_of_processes_lands_orders_and_ends_with_ctrl_c(tmp_path: Path):
    more = ("--profile", "pipeline", "--consumers", "2")
    (tmp_path / "cluster").mkdir(mode=0o700)
    (tmp_path / "cluster" / "cluster.env").write_text("CACHE_REFRESH_INTERVAL=2\n")
    async with local(tmp_path / "cluster", 1, *more) as cluster, aiohttp.ClientSession() as session:
        await cluster.ready()
        master = cluster.endpoints("master")
        assert master["admin_url"] in cluster.printed
        here = ("--data-dir", str(cluster.directory / "master"))
        code, output = await command(AIRNODE, "seed", "--users", "20", "--products", "20", *here)
        assert code == 0, output
        secrets = variables_of(cluster.directory / "cluster.env")
        headers = {"Authorization": f"Bearer {master['admin_secret']}"}

        async def landing() -> bool:
            async with session.get(f"{master['api_url']}/api/pipeline/status", headers=headers) as response:
                status = await response.json()
            roles = sorted(each["role"] for each in status["members"])
            orders = next(each for each in status["topics"] if each["topic"] == "orders")
            return roles == ["class-record", "consumer", "consumer", "producer"] and orders["landed"] > 0

        await eventually(landing, 60, "orders land")
        for name in ("cache-worker", "producer", "consumer-1", "consumer-2", "pipeline-init"):
            for path in (cluster.directory / f"{name}.log", *(cluster.directory / name).rglob("*")):
                text = path.read_text(errors="replace") if path.is_file() else ""
                assert secrets["AIRNODE_CLUSTER__TOKEN"] not in text
                assert secrets["JWT_SECRET_KEY"] not in text
        pids = cluster.pids()
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.wait() == 0, cluster.printed
        await cluster.gone(pids)


async def test_a_slave_that_fails_can_be_started_again_beside_the_others_and_the_master_ends_them_all(tmp_path: Path):
    async with local(tmp_path / "cluster", 2) as cluster:
        await cluster.ready()
        pids = cluster.pids()
        killed = int(cluster.endpoints("slave-1")["pid"])
        os.kill(killed, signal.SIGKILL)
        script = cluster.directory / "slave-1.sh"
        await eventually(lambda: f"sh {script}" in cluster.printed, 20, "it prints how to start the slave again")
        assert "slave-1 ended with -9" in cluster.printed
        assert stat.S_IMODE(script.stat().st_mode) == 0o600
        assert all(map(running, pids - {killed})), cluster.printed
        again = await asyncio.create_subprocess_exec("sh", script, stdout=asyncio.subprocess.DEVNULL)
        try:
            await eventually(lambda: cluster.ready_pid("slave-1") == again.pid, 30, "the slave is back")
        finally:
            again.terminate()
            await again.wait()
        assert cluster.process.returncode is None
        os.kill(int(cluster.endpoints("master")["pid"]), signal.SIGKILL)
        assert await cluster.wait() == 1
        assert "master ended with -9" in cluster.printed
        await cluster.gone(pids)


async def test_a_cluster_that_cannot_start_reports_why(tmp_path: Path):
    code, output = await command(
        sys.executable, "-m", "deploy.local", "--airnode", "no-such-airnode", "--data-dir", str(tmp_path)
    )
    assert code == 2
    assert "no command no-such-airnode" in output
