"""A student whose node dies: the same page, the same viewer, another node."""

import json
from pathlib import Path

import aiohttp
import jwt
import pytest
from playwright.async_api import Page, Request, Route

from tests.e2e.test_class import is_state, mark, moving, path_taken, unmarked
from tests.support.browser import DESKTOP, PHONE, chromium
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
        self.refusals: list[dict] = []
        #: Where media was asked for, in order.
        self.hosts: list[str] = []

    async def join(self, path: str, avoid: str = "") -> None:
        """Join; the first place is on none of the nodes of ``avoid``."""

        async def ask(route: Route, request: Request) -> None:
            asked = json.loads(request.post_data or "{}")
            if avoid and not self.tokens:
                asked["avoid"] = avoid
            answer = await route.fetch(post_data=json.dumps(asked))
            body = await answer.json()
            if answer.ok:
                self.tokens.append(body["token"])
            else:
                self.refusals.append(body)
            await route.fulfill(response=answer)

        self.page.on("request", lambda request: "/v/" in request.url and self.hosts.append(request.url.split("/")[2]))
        await self.page.route("**/api/token", ask)
        await self.page.goto(f"{self.cluster.master['class_url']}?path={path}")
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


async def test_pages_go_on_at_another_node_when_their_own_dies(
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
            students = [Student(await browser.new_page(viewport=DESKTOP, locale="en-US"), cluster) for _ in range(2)]
            for student, path in zip(students, ("live", "hls"), strict=True):
                await student.join(path, avoid)
                assert edge["media_url"].endswith(student.hosts[-1])
            await edge.kill()
            for student, path in zip(students, ("live", "hls"), strict=True):
                await eventually(lambda student=student: len(student.tokens) > 1, 30, "it has another place")
                await student.goes_on()
                assert origin["media_url"].endswith(student.hosts[-1])
                assert await path_taken(student.page) == path
                assert student.refusals == []
    finally:
        if publisher is not None:
            await publisher.kill()
        await cluster.close()


async def test_a_page_keeps_asking_while_there_is_no_place(tmp_path: Path, session: aiohttp.ClientSession, clip: Path):
    cluster = Cluster(tmp_path, session)
    publishers = []
    try:
        await cluster.start(1)
        publishers.append(await publish(cluster.nodes[1], cluster, clip))
        async with chromium() as browser:
            student = Student(await browser.new_page(viewport=PHONE, locale="en-US"), cluster)
            await student.join("auto")
            await cluster.nodes[1].kill()
            await eventually(lambda: student.refusals, 30, "the page asks, and there is none")
            assert {(each["status"], each["code"]) for each in student.refusals} == {(503, "no_healthy_nodes")}
            await student.page.get_by_text("All places are taken right now").wait_for()
            publishers.append(await publish(await cluster.add_slave("slave-2"), cluster, clip))
            await student.goes_on()
    finally:
        for publisher in publishers:
            await publisher.kill()
        await cluster.close()
