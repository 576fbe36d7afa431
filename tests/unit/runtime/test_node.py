"""Start, drain and stop of a node, with small roles and real ports."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from airnode.config.model import Settings
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.drain import DrainSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.media import MediaSection
from airnode.config.sections.node import NodeSection
from airnode.errors import ConfigError, StartupError
from airnode.kernel.service import Service, State
from airnode.runtime.context import RoleContext
from airnode.runtime.node import Exit, Node, Phase
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.addresses import PortName
from airnode.web.health import HealthCheck
from tests.support.waiting import eventually


class Part(Service):
    """Records the calls of its methods."""

    def __init__(self, name: str, events: list[str], **doing: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.name = name
        self.events = events
        self.doing = doing

    async def _do(self, step: str) -> None:
        self.events.append(f"{step} {self.name}")
        if step in self.doing:
            await self.doing[step]()

    async def start(self) -> None:
        await self._do("start")

    async def drain(self) -> None:
        await self._do("drain")

    async def stop(self) -> None:
        await self._do("stop")


class Rig:
    """Builds one node, and records what its services did."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.events: list[str] = []
        self.ready: list[dict] = []

    def part(self, name: str, **doing: Callable[[], Awaitable[None]]) -> Part:
        return Part(name, self.events, **doing)

    def settings(self, **drain: float) -> Settings:
        return Settings(
            node=NodeSection(data_dir=self.data_dir),
            http=HttpSection(host="127.0.0.1", port=0),
            media=MediaSection(port=0),
            auth=AuthSection(jwt_secret=SecretStr("k" * 40)),
            drain=DrainSection(**{"delay_s": 0, "timeout_s": 2, "deadline_s": 10, **drain}),
        )

    def node(self, *services: Service | Ordered, settings: Settings | None = None, **parts) -> Node:
        return self.node_of(lambda ctx: RoleParts(services=services, **parts), settings)

    def node_of(self, build: Callable[[RoleContext], RoleParts], settings: Settings | None = None) -> Node:
        role = Role(name="tiny", summary="for tests", build=build, ports=frozenset({PortName.HTTP}))
        return Node(settings or self.settings(), [role], on_ready=lambda found, _: self.ready.append(dict(found)))

    @property
    def endpoints(self) -> Path:
        return self.data_dir / "endpoints.json"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "data")


async def until_ready(node: Node) -> None:
    await eventually(lambda: node.phase is Phase.READY, what="the node is ready")


def ask_to_stop(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_node_starts_drains_and_stops(rig: Rig, number: int):
    parts = [rig.part("a"), rig.part("b")]
    node = rig.node(Ordered(parts[1], after=(parts[0],)), parts[0])
    running = asyncio.create_task(node.run())
    await until_ready(node)
    assert [part.state for part in parts] == [State.RUNNING] * 2
    assert json.loads(rig.endpoints.read_text()) == rig.ready[0]
    async with aiohttp.ClientSession() as session:
        for path in ("/health", "/health/readiness", "/openapi.json"):
            async with session.get(rig.ready[0]["api_url"] + path) as response:
                assert response.status == 200
    ask_to_stop(number)
    assert await running == Exit.CLEAN
    assert rig.events[:2] == ["start a", "start b"]
    assert sorted(rig.events[2:4]) == ["drain a", "drain b"]
    assert rig.events[4:] == ["stop b", "stop a"]
    assert [part.state for part in parts] == [State.STOPPED] * 2
    assert not rig.endpoints.exists()
    again = rig.node()
    running = asyncio.create_task(again.run())
    await until_ready(again)
    again.request_stop("test")
    assert await running == Exit.CLEAN


async def test_a_failed_start_stops_the_services_that_were_started(rig: Rig):
    parts = [rig.part("a"), rig.part("b"), rig.part("c", start=fails), rig.part("d")]
    with pytest.raises(RuntimeError, match="broken"):
        await rig.node(*parts).run()
    assert rig.events == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]
    assert parts[3].state is State.NEW
    assert not rig.endpoints.exists()


async def test_a_service_that_refuses_to_start_is_a_startup_error(rig: Rig):
    async def refuse() -> None:
        raise StartupError("There is no such camera.")

    with pytest.raises(StartupError, match="no such camera"):
        await rig.node(rig.part("a"), rig.part("b", start=refuse)).run()
    assert rig.events[-1] == "stop a"


async def test_without_a_signing_key_nothing_starts(rig: Rig):
    settings = rig.settings().model_copy(update={"auth": AuthSection()})
    with pytest.raises(ConfigError, match="openssl rand -hex 32"):
        await rig.node(rig.part("a"), settings=settings).run()
    assert rig.events == []


async def test_a_port_in_use_starts_nothing(rig: Rig):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        http = HttpSection(host="127.0.0.1", port=taken.getsockname()[1])
        settings = rig.settings().model_copy(update={"http": http})
        with pytest.raises(StartupError, match="in use"):
            await rig.node(rig.part("a"), settings=settings).run()
    assert "start a" not in rig.events


async def test_the_data_directory_of_another_node_is_not_changed(rig: Rig, tmp_path: Path):
    first = rig.node()
    running = asyncio.create_task(first.run())
    await until_ready(first)
    second = Rig(rig.data_dir)
    with pytest.raises(StartupError, match="Another airnode"):
        await second.node(second.part("a")).run()
    assert second.events == []
    assert rig.endpoints.exists()
    first.request_stop("test")
    assert await running == Exit.CLEAN


async def test_a_failed_task_fails_the_node(rig: Rig):
    def build(ctx: RoleContext) -> RoleParts:
        tasks = ctx.tasks("camera")

        async def start() -> None:
            tasks.spawn("watch", fails())

        return RoleParts(services=(rig.part("a"), rig.part("b", start=start, stop=tasks.aclose)))

    with capture_logs() as logs:
        async with asyncio.timeout(10):
            assert await rig.node_of(build).run() == Exit.FAILURE
    (line,) = [line for line in logs if line["event"] == "node_failed"]
    assert "camera:watch" in line["reason"]
    assert "broken" in line["reason"]
    assert rig.events[-2:] == ["stop b", "stop a"]


async def test_a_drain_that_takes_too_long_is_cancelled(rig: Rig):
    node = rig.node(rig.part("a", drain=forever), rig.part("b"), settings=rig.settings(timeout_s=0.1))
    running = asyncio.create_task(node.run())
    await until_ready(node)
    with capture_logs() as logs:
        ask_to_stop()
        assert await running == Exit.CLEAN
    assert [line["service"] for line in logs if line["event"] == "service_drain_timed_out"] == ["a"]
    assert rig.events[-2:] == ["stop b", "stop a"]


async def test_a_service_that_fails_to_drain_or_stop_does_not_block_the_others(rig: Rig):
    node = rig.node(rig.part("a"), rig.part("b", drain=fails, stop=fails), rig.part("c"))
    running = asyncio.create_task(node.run())
    await until_ready(node)
    with capture_logs() as logs:
        ask_to_stop()
        assert await running == Exit.CLEAN
    assert [(line["service"], line["during"]) for line in logs if line["event"] == "service_failed"] == [
        ("b", "drain"),
        ("b", "stop"),
    ]
    assert rig.events[-3:] == ["stop c", "stop b", "stop a"]


async def test_a_stop_beyond_the_deadline(rig: Rig):
    node = rig.node(rig.part("a", stop=forever), settings=rig.settings(deadline_s=0.3))
    running = asyncio.create_task(node.run())
    await until_ready(node)
    ask_to_stop()
    async with asyncio.timeout(10):
        assert await running == Exit.DEADLINE
    node._data.release()


async def test_a_second_signal_skips_the_drain(rig: Rig):
    node = rig.node(rig.part("a", drain=forever), settings=rig.settings(timeout_s=30, deadline_s=40))
    running = asyncio.create_task(node.run())
    await until_ready(node)
    ask_to_stop()
    await eventually(lambda: "drain a" in rig.events, what="it drains")
    assert node.phase is Phase.DRAINING
    ask_to_stop()
    async with asyncio.timeout(10):
        assert await running == Exit.CLEAN
    assert rig.events == ["start a", "drain a", "stop a"]


async def test_a_signal_during_the_start_cancels_it(rig: Rig):
    node = rig.node(rig.part("a"), rig.part("b", start=forever), rig.part("c"))
    running = asyncio.create_task(node.run())
    await eventually(lambda: "start b" in rig.events, what="b starts")
    ask_to_stop()
    async with asyncio.timeout(10):
        assert await running == Exit.CLEAN
    assert rig.events == ["start a", "start b", "stop b", "stop a"]
    assert rig.ready == []
    assert not rig.endpoints.exists()


async def test_only_health_is_answered_until_ready(rig: Rig):
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    go_on, urls = asyncio.Event(), []

    def build(ctx: RoleContext) -> RoleParts:
        urls.append(ctx.addresses.url(PortName.HTTP))
        routes = {PortName.HTTP: lambda app: app.router.add_get("/hello", hello)}
        return RoleParts(services=(rig.part("a", start=go_on.wait),), routes=routes)

    node = rig.node_of(build)
    running = asyncio.create_task(node.run())
    await eventually(lambda: "start a" in rig.events, what="it starts")
    base = urls[0]

    async with aiohttp.ClientSession() as session:

        async def status(path: str) -> int:
            async with session.get(base + path) as response:
                return response.status

        found = {path: await status(path) for path in ("/health", "/health/liveness", "/health/readiness", "/hello")}
        assert found == {"/health": 200, "/health/liveness": 200, "/health/readiness": 503, "/hello": 503}
        go_on.set()
        await until_ready(node)
        assert await status("/hello") == 200
        assert await status("/health/readiness") == 200
        node.request_stop("test")
        assert await running == Exit.CLEAN
        with pytest.raises(aiohttp.ClientConnectionError):
            await status("/hello")


async def test_a_draining_node_is_alive_but_not_ready(rig: Rig):
    go_on = asyncio.Event()
    node = rig.node(rig.part("a", drain=go_on.wait), settings=rig.settings(timeout_s=30, deadline_s=40))
    running = asyncio.create_task(node.run())
    await until_ready(node)
    ask_to_stop()
    await eventually(lambda: "drain a" in rig.events, what="it drains")
    async with aiohttp.ClientSession() as session:
        for path, expected in (("/health/liveness", 200), ("/health/readiness", 503)):
            async with session.get(rig.ready[0]["api_url"] + path) as response:
                assert response.status == expected
    go_on.set()
    assert await running == Exit.CLEAN


async def test_failing_checks_are_reported(rig: Rig):
    well = {"critical": True, "other": True}

    def check(name: str) -> Callable[[], Awaitable[str | None]]:
        async def ask() -> str | None:
            if not well[name]:
                raise LookupError("gone")
            return "fine"

        return ask

    async def slow() -> None:
        await asyncio.Event().wait()

    checks = [
        HealthCheck("critical", check("critical")),
        HealthCheck("other", check("other"), critical=False),
        HealthCheck("slow", slow, timeout_s=0.05, critical=False),
    ]
    node = rig.node(checks=checks)
    running = asyncio.create_task(node.run())
    await until_ready(node)
    async with aiohttp.ClientSession() as session:

        async def health(path: str = "/health") -> tuple[int, str]:
            async with session.get(rig.ready[0]["api_url"] + path) as response:
                return response.status, await response.text()

        status, text = await health()
        assert (status, json.loads(text)["status"]) == (200, "degraded")
        assert json.loads(text)["checks"]["critical"]["detail"] == "fine"
        assert "no answer within 0.05 s" in json.loads(text)["checks"]["slow"]["detail"]
        assert (await health("/health/readiness"))[0] == 200
        well["critical"] = False
        status, text = await health()
        assert (status, json.loads(text)["status"]) == (503, "unhealthy")
        assert json.loads(text)["checks"]["critical"]["detail"] == "gone"
        assert (await health("/health/readiness")) == (503, "failing: critical\n")
    node.request_stop("test")
    assert await running == Exit.CLEAN


@pytest.mark.parametrize("pid", ["", "mine", "1"])
async def test_systemd_is_notified_of_start_watchdog_and_stop(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: str
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "mine" else pid)
        received: list[str] = []

        def times(word: str) -> int:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received.extend(listener.recv(100).decode().splitlines())
            return received.count(word)

        node = rig.node()
        running = asyncio.create_task(node.run())
        await until_ready(node)
        assert times("READY=1") == times("STATUS=serving") == 1
        if pid != "1":  # not meant for another process
            await eventually(lambda: times("WATCHDOG=1") >= 3, what="it says that it is alive")
        node.request_stop("test")
        assert await running == Exit.CLEAN
        assert times("STOPPING=1") == 1
        assert (times("WATCHDOG=1") == 0) is (pid == "1")


async def test_a_role_gets_only_what_it_declares(rig: Rig):
    refused = []

    def build(ctx: RoleContext) -> RoleParts:
        for name in ("bus", "postgres"):
            with pytest.raises(LookupError, match="does not declare"):
                getattr(ctx, name)
            refused.append(name)
        return RoleParts()

    node = rig.node_of(build)
    running = asyncio.create_task(node.run())
    await until_ready(node)
    node.request_stop("test")
    assert await running == Exit.CLEAN
    assert refused == ["bus", "postgres"]
