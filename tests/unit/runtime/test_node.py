"""Start, drain and stop of a node, with small roles and real ports."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from airnode.config.sections.auth import AuthSection
from airnode.config.sections.http import HttpSection
from airnode.errors import ConfigError, StartupError
from airnode.kernel.service import State
from airnode.runtime.context import RoleContext
from airnode.runtime.node import Exit, Phase
from airnode.runtime.role import Ordered, RoleParts
from tests.support.node_rig import Rig, ask_to_stop, fails, forever, until_ready
from tests.support.waiting import eventually


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "data")


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


async def test_a_failed_preflight_starts_nothing(rig: Rig):
    def fail() -> None:
        raise StartupError("There is no such camera.")

    with pytest.raises(StartupError, match="no such camera"):
        await rig.node(rig.part("a"), preflight=(lambda: None, fail)).run()
    assert rig.events == []


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
    unhandled: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context["message"]))
    running = asyncio.create_task(node.run())
    await until_ready(node)
    ask_to_stop()
    await eventually(lambda: "drain a" in rig.events, what="it drains")
    assert node.phase is Phase.DRAINING
    ask_to_stop()
    async with asyncio.timeout(10):
        assert await running == Exit.CLEAN
    assert rig.events == ["start a", "drain a", "stop a"]
    gc.collect()
    assert unhandled == []


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
