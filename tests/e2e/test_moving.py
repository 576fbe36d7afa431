"""A student whose node dies: the same page, the same viewer, another node; live.mp4 is tested so in tests/chaos."""

import json
import time
from pathlib import Path

import aiohttp
import jwt
import pytest
from playwright.async_api import Page, Request, Route

from tests.e2e.test_class import is_state, mark, moving, path_taken, unmarked
from tests.support.browser import DESKTOP, chromium
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(150)]

#: The defaults: a dead node is missed after six seconds, which is longer than a student waits.
USUAL = ("--set", "cluster.heartbeat_s=2", "--set", "cluster.lease_s=6")


async def publish(node: AirnodeProcess, cluster: Cluster, clip: Path) -> Publisher:
    return await Publisher.of_clip(f"{node['rtmp_server']}/{cluster.master['stream_key']}", clip).start()


class Student:
    """A page in the class, and what it was given and asked for."""

    def __init__(self, page: Page, cluster: Cluster) -> None:
        self.page = page
        self.cluster = cluster
        self.tokens: list[str] = []
        #: What the next requests for a place are answered with, in place of the master's answer.
        self.refusals: list[dict] = []
        #: When a place was asked for, monotonic seconds.
        self.asked_s: list[float] = []
        #: Where media was asked for, in order.
        self.hosts: list[str] = []

    async def join(self, path: str, avoid: str = "") -> None:
        """Join; the first place is on none of the nodes of ``avoid``."""

        async def ask(route: Route, request: Request) -> None:
            self.asked_s.append(time.monotonic())
            if self.refusals:
                return await route.fulfill(
                    status=503, json=self.refusals.pop(0), content_type="application/problem+json"
                )
            asked = json.loads(request.post_data or "{}")
            if avoid and not self.tokens:
                asked["avoid"] = avoid
            answer = await route.fetch(post_data=json.dumps(asked))
            if answer.ok:
                self.tokens.append((await answer.json())["token"])
            await route.fulfill(response=answer)

        self.page.on("request", lambda request: "/v/" in request.url and self.hosts.append(request.url.split("/")[2]))
        await self.page.route("**/api/token", ask)
        await self.page.goto(f"{self.cluster.master['class_url']}?path={path}")
        await self.page.get_by_label("Your name").fill("Mina")
        await self.page.get_by_role("button", name="Join").click()
        await eventually(lambda: is_state(self.page, "live"), 30, "the page is live")
        await moving(self.page)
        await mark(self.page)

    async def goes_on(self) -> None:
        """It plays again without a reload, and is the same viewer."""
        await eventually(lambda: is_state(self.page, "live"), 30, "the page is live again")
        await moving(self.page)
        assert not await unmarked(self.page)
        sessions = {jwt.decode(token, options={"verify_signature": False})["sid"] for token in self.tokens}
        assert len(self.tokens) >= 2 and len(sessions) == 1


async def test_a_page_on_hls_goes_on_at_another_node_when_its_own_dies(
    tmp_path: Path, session: aiohttp.ClientSession, clip: Path
):
    cluster = Cluster(tmp_path, session, *USUAL)
    publisher = None
    try:
        await cluster.start(2)
        _, origin, edge = cluster.nodes
        publisher = await publish(origin, cluster, clip)
        avoid = (await cluster.listed())["slave-1"]["node_id"]
        async with chromium() as browser:
            student = Student(await browser.new_page(viewport=DESKTOP, locale="en-US"), cluster)
            await student.join("hls", avoid)
            assert edge["media_url"].endswith(student.hosts[-1])
            before = len(student.asked_s)
            student.refusals = [{"status": 503, "code": "unavailable", "title": "Not now", "retry_after_s": 2}]
            await edge.kill()
            await student.page.get_by_text("One moment, please").wait_for()
            await eventually(lambda: len(student.tokens) > 1, 30, "it has another place")
            refused_s, given_s = student.asked_s[before : before + 2]
            assert given_s - refused_s >= 2, "it comes back when it was told to"
            await student.goes_on()
            assert origin["media_url"].endswith(student.hosts[-1])
            assert await path_taken(student.page) == "hls"
    finally:
        if publisher is not None:
            await publisher.kill()
        await cluster.close()
