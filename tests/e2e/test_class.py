"""A class as a student sees it: a real ffmpeg publishes, a real Chromium shows it."""

import time
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.browser import DESKTOP, PHONE, chromium, clock_on_screen, watch_requests
from tests.support.ffmpeg import RATE, Publisher
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(120)]
both_paths = pytest.mark.parametrize("path", ["live", "hls"])


async def state(page: Page) -> str | None:
    stage = page.locator("[data-state]").first
    return await stage.get_attribute("data-state") if await stage.count() else None


async def latency_ms(page: Page) -> float | None:
    value = await page.locator("[data-state]").first.get_attribute("data-latency-ms")
    return float(value) if value else None


async def moving(page: Page) -> tuple[int, int]:
    """Two clock readings from the screen, the second later; fails when the picture stands still."""
    first = await clock_on_screen(page)

    async def later() -> int | None:
        now = await clock_on_screen(page)
        return now if now >= first + RATE // 2 else None

    return first, await eventually(later, 30, "the clock on screen moves")


async def join(page: Page, node: AirnodeProcess | Classroom, path: str = "auto") -> None:
    """Open the students' link and press its one button; ``path``: the way the media is to come."""
    await page.goto(f"{node['class_url']}?path={path}")
    await page.get_by_label("Your name").fill("Mina")
    await page.get_by_role("button", name="Join").click()


async def path_taken(page: Page) -> str | None:
    found: str | None = await page.evaluate("window.airnode.path")
    return found


async def is_state(page: Page, wanted: str) -> bool:
    return await state(page) == wanted


async def viewer_count(api: Api) -> int:
    teacher = await api.teacher()
    count: int = (await api.room(teacher["token"]))["viewers"]
    return count


async def mark(page: Page) -> None:
    """Leave a mark that a reload would wipe out."""
    await page.evaluate("window.notReloaded = true")


async def unmarked(page: Page) -> bool:
    return await page.evaluate("window.notReloaded") is not True


@both_paths
async def test_the_moving_clock_is_on_the_students_screen(classroom: Classroom, class_api: Api, clip: Path, path: str):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            asked = await watch_requests(page)
            await join(page, classroom, path)
            await eventually(lambda: is_state(page, "live"), 20, "the page is live")
            assert await path_taken(page) == path
            started_s = time.monotonic()
            first, second = await moving(page)
            assert second - first < (time.monotonic() - started_s + 1) * RATE * 1.6
            found = await eventually(lambda: latency_ms(page), what="the page shows a latency")
            assert 0 < found < (2000 if path == "live" else 5000)
            viewers = await eventually(lambda: viewer_count(class_api), what="the student is counted")
            assert viewers == 1
            assert errors == []
            hosts = {url.split("/")[2] for url in asked if url.startswith("http")}
            assert all(host.startswith("localhost:") for host in hosts), hosts
    finally:
        await publisher.stop()


@both_paths
async def test_a_waiting_page_starts_and_survives_the_publishers_restart(classroom: Classroom, clip: Path, path: str):
    publisher = None
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=PHONE, locale="ko-KR")
            await page.goto(f"{classroom['class_url']}?path={path}")
            await page.get_by_label("이름").fill("민아")
            await page.get_by_role("button", name="들어가기").click()
            await eventually(lambda: is_state(page, "waiting"), what="the page waits for the teacher")
            await mark(page)
            publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
            await eventually(lambda: is_state(page, "live"), 30, "the class starts by itself")
            await moving(page)
            await publisher.kill()
            await eventually(lambda: is_state(page, "reconnecting"), what="the page says that the teacher reconnects")
            publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
            await eventually(lambda: is_state(page, "live"), 30, "the class goes on")
            first, _ = await moving(page)
            assert first < 20 * RATE, "the picture is the new publisher's"
            assert await path_taken(page) == path
            assert not await unmarked(page)
    finally:
        if publisher is not None:
            await publisher.kill()


@pytest.mark.parametrize("path", ["live", "hls", "auto"])
async def test_a_page_survives_the_servers_restart(tmp_path: Path, clip: Path, path: str):
    port, media_port, rtmp_port = map(str, free_ports(3))
    ports = ("--port", port, "--media-port", media_port, "--rtmp-port", rtmp_port)
    node = AirnodeProcess(tmp_path / "data", *ports)
    publisher = None
    try:
        await node.start()
        publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await join(page, node, path)
            await eventually(lambda: is_state(page, "live"), 20, "the page is live")
            await mark(page)
            await page.get_by_text("watching").wait_for()
            await node.kill()
            await publisher.result()
            await eventually(lambda: is_state(page, "lost"), 30, "the page says that the connection is lost")
            await page.get_by_text("watching").wait_for(state="detached")
            await node.start()
            publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
            await eventually(lambda: is_state(page, "live"), 60, "the page is live again")
            await moving(page)
            assert path == "auto" or await path_taken(page) == path
            assert not await unmarked(page)
    finally:
        if publisher is not None:
            await publisher.kill()
        await node.close()


async def test_a_student_with_a_wrong_code_stays_outside(classroom: Classroom):
    async with chromium() as browser:
        page = await browser.new_page(viewport=PHONE, locale="en-US")
        await page.goto(f"{classroom['api_url']}/class")
        await page.get_by_label("Class code").fill("AAAAAA")
        await page.get_by_label("Your name").fill("Mina")
        await page.get_by_role("button", name="Join").click()
        await page.get_by_role("alert").get_by_text("No class has the code").wait_for()
        assert await page.locator("video").count() == 0
        assert page.url.endswith("/class"), "a wrong code does not become the address"
        await page.get_by_label("Class code").fill(classroom["class_code"].lower())
        await page.get_by_label("Your name").fill("Mina")
        await page.get_by_role("button", name="Join").click()
        await eventually(lambda: is_state(page, "waiting"), what="the right code opens the class")
        assert page.url.endswith(f"/class/{classroom['class_code']}")
        await page.go_back()
        await page.get_by_label("Class code").wait_for()


async def test_the_studio_shows_the_stream_to_the_teacher(node: AirnodeProcess, clip: Path):
    publisher = None
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await page.goto(node["studio_url"])
            await page.get_by_text(node["class_code"]).first.wait_for()
            assert node["teacher_secret"] not in page.url
            assert node["stream_key"] not in await page.content()
            await page.get_by_text("With an encoder").click()
            await page.get_by_role("button", name="Show", exact=True).click()
            assert node["stream_key"] in await page.content() or await page.get_by_label("Stream key").input_value()
            publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
            await eventually(lambda: is_state(page, "live"), 30, "the preview is live")
            await moving(page)
            text = await eventually(lambda: strip(page), 15, "the health strip shows figures")
            assert "640 × 360" in text
    finally:
        if publisher is not None:
            await publisher.stop()


async def strip(page: Page) -> str:
    text = await page.locator("main").inner_text()
    return text if "fps" in text and "bit/s" in text and "640" in text else ""
