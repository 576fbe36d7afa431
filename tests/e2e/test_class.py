"""A class as a student sees it: a real ffmpeg publishes, a real Chromium shows it."""

import time
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.browser import DESKTOP, chromium, clock_on_screen, watch_requests
from tests.support.ffmpeg import RATE, Publisher
from tests.support.node import AirnodeProcess, Api
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(120)]


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

    return first, await eventually(later, 10, "the clock on screen moves")


async def test_the_moving_clock_is_on_the_students_screen(node: AirnodeProcess, api: Api, clip: Path):
    publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            asked = await watch_requests(page)
            await page.goto(node["class_url"])
            await page.get_by_role("button", name="Join").click()
            await eventually(lambda: is_state(page, "live"), 20, "the page is live")
            started_s = time.monotonic()
            first, second = await moving(page)
            assert second - first < (time.monotonic() - started_s + 1) * RATE * 1.6
            found = await eventually(lambda: latency_ms(page), what="the page shows a latency")
            assert 0 < found < 5000
            viewers = await eventually(lambda: viewer_count(api), what="the student is counted")
            assert viewers == 1
            assert errors == []
            hosts = {url.split("/")[2] for url in asked if url.startswith("http")}
            assert all(host.startswith("localhost:") for host in hosts), hosts
    finally:
        await publisher.stop()


async def is_state(page: Page, wanted: str) -> bool:
    return await state(page) == wanted


async def viewer_count(api: Api) -> int:
    teacher = await api.teacher()
    return (await api.room(teacher["token"]))["viewers"]
