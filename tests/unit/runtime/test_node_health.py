"""What a node answers about itself while it starts, serves and drains."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from airnode.runtime.context import RoleContext
from airnode.runtime.node import Exit
from airnode.runtime.role import RoleParts
from airnode.web.addresses import PortName
from airnode.web.health import HealthCheck
from tests.support.node_rig import Rig, ask_to_stop, until_ready
from tests.support.waiting import eventually


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "data")


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
