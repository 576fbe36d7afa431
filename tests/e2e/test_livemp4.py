"""The page on live.mp4, and when it lets go of it."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, Route

from tests.e2e.test_class import is_state, join, latency_ms, mark, moving, path_taken, unmarked
from tests.support.browser import DESKTOP, chromium, watch_requests
from tests.support.ffmpeg import Publisher, make_clip
from tests.support.node import Classroom
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(120)]

LIVE = "**/live.mp4"


async def takes(page: Page, path: str) -> bool:
    return await is_state(page, "live") and await path_taken(page) == path


async def is_near(page: Page, within_ms: float) -> bool:
    found = await latency_ms(page)
    return found is not None and 0 < found < within_ms


async def test_live_mp4_is_the_way_and_hls_is_not_even_asked_for(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            await join(page, classroom)
            await eventually(lambda: takes(page, "live"), 20, "the page plays live.mp4")
            await moving(page)
            await eventually(lambda: is_near(page, 1000), 20, "the page is near the live edge")
            assert sum(url.endswith("/live.mp4") for url in asked) == 1
            assert not [url for url in asked if ".m3u8" in url]
    finally:
        await publisher.stop()


#: What stands between the page and live.mp4: nothing answers, an old server, a network's own page.
_OBSTACLES = ("abort", "404", "not media")


async def block(route: Route, how: str) -> None:
    if how == "abort":
        await route.abort()
    elif how == "404":
        await route.fulfill(status=404, headers={"Access-Control-Allow-Origin": "*"})
    else:
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": 'video/mp4; codecs="avc1.42c01e,mp4a.40.2"'}
        await route.fulfill(status=200, headers=headers, body="<html>Welcome to this network</html>")


async def falls_back_and_returns(page: Page, classroom: Classroom, how: str) -> None:
    tried = []

    async def obstruct(route: Route) -> None:
        tried.append(route.request.url)
        await block(route, how)

    await page.route(LIVE, obstruct)
    await join(page, classroom)
    await mark(page)
    await eventually(lambda: takes(page, "hls"), 30, f"the page plays HLS ({how})")
    await moving(page)
    assert 1 <= len(tried) <= 4, how
    # As soon as it comes through, the page takes it again, by itself.
    await page.unroute(LIVE)
    await eventually(lambda: takes(page, "live"), 40, f"the page plays live.mp4 ({how})")
    await moving(page)
    assert not await unmarked(page), how


async def test_pages_fall_back_to_hls_where_live_mp4_does_not_come(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser, asyncio.TaskGroup() as work:
            for how in _OBSTACLES:
                page = await browser.new_page(viewport=DESKTOP, locale="en-US")
                work.create_task(falls_back_and_returns(page, classroom, how))
    finally:
        await publisher.kill()


#: Appends garbage in the place of media as often as `window.breaks` says.
BREAKS = """(() => {
  window.breaks = 0;
  const append = SourceBuffer.prototype.appendBuffer;
  SourceBuffer.prototype.appendBuffer = function (data) {
    if (window.breaks <= 0) return append.call(this, data);
    window.breaks -= 1;
    return append.call(this, new Uint8Array(200).fill(255));
  };
})()"""


async def test_a_piece_that_cannot_be_decoded_leaves_the_page_on_live_mp4(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await page.add_init_script(BREAKS)
            asked = await watch_requests(page)
            await join(page, classroom)
            await eventually(lambda: takes(page, "live"), 20, "the page plays live.mp4")
            await moving(page)
            await mark(page)
            position = "document.querySelector('video').currentTime"
            from_s = float(await page.evaluate(position))

            async def lasted() -> bool:
                return float(await page.evaluate(position)) > from_s + 5

            await eventually(lasted, 30, "it has played for so long that it is worth another try at once")
            times = 2
            await page.evaluate("window.breaks = 1")

            async def asked_again() -> bool:
                return sum(url.endswith("/live.mp4") for url in asked) >= times and await takes(page, "live")

            await eventually(asked_again, 10, "the page plays live.mp4 again")
            await moving(page)
            assert not [url for url in asked if ".m3u8" in url]
            times = 3
            await page.evaluate("window.breaks = 1")
            await eventually(asked_again, 10, "the page plays live.mp4 a third time")
            await moving(page)
            assert not [url for url in asked if ".m3u8" in url]
            assert not await unmarked(page)
    finally:
        await publisher.kill()


async def test_one_failed_request_is_no_reason_to_fall_back(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    tried = []

    async def block_once(route: Route) -> None:
        tried.append(route.request.url)
        await (route.abort() if len(tried) == 1 else route.continue_())

    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await page.route(LIVE, block_once)
            await join(page, classroom)
            await eventually(lambda: takes(page, "live"), 20, "the page plays live.mp4")
            await moving(page)
            assert len(tried) == 2
    finally:
        await publisher.stop()


async def test_a_pause_ends_at_the_live_edge(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await join(page, classroom, "live")
            await eventually(lambda: takes(page, "live"), 20, "the page plays live.mp4")
            _, before = await moving(page)
            await page.locator(".stage").hover()
            await page.get_by_role("button", name="Pause").click()
            edge = "(() => { const b = document.querySelector('video').buffered; return b.end(b.length - 1) })()"
            from_s = await page.evaluate(edge)

            async def passed() -> bool:
                return float(await page.evaluate(edge)) > from_s + 4

            await eventually(passed, what="four seconds pass")
            assert await page.evaluate("document.querySelector('video').paused")
            await page.locator(".stage").hover()
            await page.get_by_role("button", name="Play", exact=True).click()
            await eventually(lambda: is_near(page, 1000), what="the page is at the live edge again")
            first, _ = await moving(page)
            assert first > before + 90
    finally:
        await publisher.stop()


async def test_who_falls_far_behind_jumps(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await join(page, classroom, "live")
            await eventually(lambda: takes(page, "live"), 20, "the page plays live.mp4")
            held = "(() => { const v = document.querySelector('video'); return v.currentTime - v.buffered.start(0) })()"

            async def enough() -> bool:
                return float(await page.evaluate(held)) > 5

            await eventually(enough, what="five seconds are kept")
            await page.evaluate("document.querySelector('video').currentTime -= 4.5")
            await eventually(lambda: is_near(page, 800), 5, "the page is at the live edge again")
            await moving(page)
    finally:
        await publisher.stop()


async def test_another_encoder_with_other_codecs_takes_over(
    classroom: Classroom, clip: Path, tmp_path_factory: pytest.TempPathFactory
):
    other = make_clip(
        tmp_path_factory.mktemp("other") / "clock.flv", 40, extra=("-profile:v", "high", "-preset", "veryfast")
    )
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            types: list[str] = []
            page.on(
                "response", lambda each: types.append(each.headers["content-type"]) if "live.mp4" in each.url else 0
            )
            await join(page, classroom, "live")
            await eventually(lambda: takes(page, "live"), 20, "the page plays live.mp4")
            await moving(page)
            await mark(page)
            await publisher.kill()
            await eventually(lambda: is_state(page, "reconnecting"), what="the page says that the teacher reconnects")
            publisher = await Publisher.of_clip(classroom["rtmp_url"], other).start()
            await eventually(lambda: takes(page, "live"), 30, "the class goes on")
            await moving(page)
            await eventually(lambda: is_near(page, 1500), what="the latency is told rightly")
            assert len(set(types)) == 2, types
            assert not await unmarked(page)
    finally:
        await publisher.kill()
