"""Recording a class in the studio; looking back in it while it runs, and watching it afterwards from another node."""

import json
import subprocess
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page

from tests.e2e.test_class import is_state, join, moving, unmarked
from tests.e2e.test_moving import USUAL, Student, publish
from tests.support.browser import DESKTOP, PHONE, chromium
from tests.support.cluster import Cluster
from tests.support.ffmpeg import RATE, Publisher
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(180)]

VIDEO = "document.querySelector('video')"


async def position_s(page: Page) -> float:
    return float(await page.evaluate(f"{VIDEO}.currentTime"))


async def length_s(page: Page) -> float:
    """How long the recording is, as its seek bar says."""
    return float(await page.get_by_label("Position").get_attribute("max") or 0)


async def plays(page: Page, kind: str) -> bool:
    """Whether a recording plays: ``dvr`` of a class that runs, or ``vod``."""
    if not await page.locator(f"[data-replay={kind}]").count():
        return False
    return await page.evaluate(f"{VIDEO}.readyState >= 3 && !{VIDEO}.paused && {VIDEO}.currentTime > 0.2")


async def open_studio(browser: Browser, cluster: Cluster) -> Page:
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    await page.goto(cluster.master["studio_url"])
    await page.get_by_text("There are no recordings yet.").wait_for()
    assert await page.get_by_role("button", name="Record this class").is_disabled()
    return page


async def look_back(student: Student) -> None:
    """From the live class to its start, about in it, and back."""
    page = student.page
    await page.get_by_role("tab", name="Info").click()  # where a phone has recordings
    await page.get_by_text("Recording now").first.wait_for()
    await page.get_by_role("button", name="Watch from the start").click()
    await eventually(lambda: plays(page, "dvr"), 30, "the recording plays while it is made")
    assert "?recording=" in page.url

    async def long_enough() -> bool:
        return await length_s(page) > 8

    await eventually(long_enough, 30, "the recording grows")
    await page.get_by_label("Position").focus()
    await page.keyboard.press("Home")
    before_s = await position_s(page)
    await page.keyboard.press("ArrowRight")
    assert await position_s(page) > before_s + 2, "an arrow key seeks"
    await page.get_by_label("Position").fill("1")
    _, then = await moving(page)
    await page.get_by_role("button", name="Back to live").first.click()
    await eventually(lambda: is_state(page, "live"), 30, "the page is live again")
    assert (await moving(page))[0] > then + 5 * RATE, "what was seen was at least seven seconds old"
    assert "?recording=" not in page.url
    assert not await unmarked(page)


async def look_back_30_s(page: Page) -> None:
    """The button over the live picture: 30 s before the end of what is recorded so far, each time."""
    for _ in range(3):
        await page.locator(".stage").hover()
        await page.get_by_role("button", name="Go back 30 seconds").click()
        await eventually(lambda: plays(page, "dvr"), 30, "the recording plays while it is made")
        end_s, at_s = await length_s(page), await position_s(page)
        assert end_s - 38 < at_s < end_s - 24, f"at {at_s} of {end_s} s"
        await page.get_by_role("button", name="Back to live").first.click()
        await eventually(lambda: is_state(page, "live"), 30, "the page is live again")


async def record(class_api: Api, session: aiohttp.ClientSession) -> None:
    """Start recording, as the studio does."""
    token = (await class_api.teacher())["token"]
    url = f"{class_api.node['api_url']}/api/classes/{class_api.node.room}/recording"
    async with session.post(url, json={"recording": True}, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200, await response.text()


async def test_back_30_seconds_begins_30_seconds_before_the_end(
    classroom: Classroom, class_api: Api, session: aiohttp.ClientSession, clip: Path
):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await join(page, classroom)
            await eventually(lambda: is_state(page, "live"), 20, "the page is live")
            await record(class_api, session)
            await page.get_by_role("button", name="Watch from the start").click(timeout=30_000)
            await eventually(lambda: plays(page, "dvr"), 30, "the recording plays while it is made")

            async def long_enough() -> bool:
                return await length_s(page) > 33

            await eventually(long_enough, 60, "33 s are recorded")
            await page.get_by_role("button", name="Back to live").first.click()
            await eventually(lambda: is_state(page, "live"), 30, "the page is live again")
            await look_back_30_s(page)
    finally:
        await publisher.kill()


async def watch_afterwards(student: Student, edge: AirnodeProcess, session: aiohttp.ClientSession) -> None:
    """The whole of it, after a reload too, and as a file."""
    page = student.page
    await page.get_by_role("button", name="Watch", exact=True).click()
    await eventually(lambda: plays(page, "vod"), 30, "the recording plays afterwards")
    total_s = await length_s(page)
    middle_s = round(total_s / 2)
    await page.get_by_label("Position").fill(str(middle_s))
    await moving(page)
    assert await position_s(page) >= middle_s, "it plays from there"
    assert {f"http://{host}" for host in student.hosts} == {edge["media_url"]}, "a node that did not record it"
    await page.reload()
    await eventually(lambda: plays(page, "vod"), 30, "the address leads to the recording")
    await page.get_by_role("tab", name="Info").click()
    href = await page.get_by_role("link", name="Download").first.get_attribute("href")
    assert href
    async with session.get(href) as response:
        assert response.status == 200
        media = await response.read()
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", "-"],
        input=media,
        capture_output=True,
        check=True,
    )
    kinds = {stream["codec_type"] for stream in json.loads(probe.stdout)["streams"]}
    assert kinds == {"video", "audio"}


async def test_a_class_is_recorded_looked_back_at_and_watched_from_another_node(
    tmp_path: Path, session: aiohttp.ClientSession, clip: Path
):
    cluster = Cluster(tmp_path, session, *USUAL)
    publisher = None
    try:
        await cluster.start()
        origin, edge = [await cluster.add_slave(f"slave-{n}", "--set", "hls.grace_s=1") for n in (1, 2)]
        async with chromium() as browser:
            studio = await open_studio(browser, cluster)
            publisher = await publish(origin, cluster, clip)
            await studio.get_by_role("button", name="Record this class").click(timeout=30_000)
            await studio.get_by_text("This class is being recorded.").wait_for()
            student = Student(await browser.new_page(viewport=PHONE, locale="en-US"), cluster)
            await student.join("auto", (await cluster.listed())["slave-1"]["node_id"])
            await look_back(student)
            await publisher.stop()
            await student.page.get_by_role("tab", name="Info").click()
            await student.page.get_by_role("link", name="Download").wait_for()
            student.hosts.clear()
            await watch_afterwards(student, edge, session)
            async with studio.context.expect_page() as opened:
                await studio.get_by_role("link", name="Watch", exact=True).click()
            watched = await opened.value
            await eventually(lambda: plays(watched, "vod"), 30, "the studio's link plays the recording at once")
            assert "#" not in watched.url
            await watched.close()
            await studio.get_by_role("button", name="Delete").click()
            await studio.get_by_role("button", name="Delete it").click()
            await studio.get_by_text("There are no recordings yet.").wait_for()
    finally:
        if publisher is not None:
            await publisher.kill()
        await cluster.close()
