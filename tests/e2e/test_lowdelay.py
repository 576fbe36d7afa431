"""The lowest delay: the class page decodes by itself, stays what it was for the person, and gives up where it must."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.e2e.test_class import is_state, join, latency_ms, mark, moving, unmarked
from tests.support.browser import DESKTOP, chromium
from tests.support.ffmpeg import Publisher
from tests.support.node import Api, Classroom
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(120)]

#: Keeps the page's contexts and gains, so that a test can look at them.
_SOUND = """(() => {
  window.contexts = []; window.gains = [];
  const Context = window.AudioContext;
  window.AudioContext = class extends Context { constructor(...args) { super(...args); window.contexts.push(this); } };
  const create = BaseAudioContext.prototype.createGain;
  BaseAudioContext.prototype.createGain = function () {
    const gain = create.call(this);
    window.gains.push(gain);
    return gain;
  };
})()"""
#: Puts code before the worker's own.
_BEFORE_WORKER = """(() => {
  const Started = window.Worker;
  window.Worker = class extends Started {
    constructor(url, options) {
      const request = new XMLHttpRequest();
      request.open("GET", url, false);
      request.send();
      super(URL.createObjectURL(new Blob([CODE, request.responseText], { type: "text/javascript" })), options);
    }
  };
})()"""
_SAYS_BUTTON = """new MutationObserver((_, observer) => {
  if (!document.querySelector(".sound-button")) return;
  observer.disconnect();
  console.log("sound button");
}).observe(document, { childList: true, subtree: true });"""
#: What the page finds, by the reason for which it gives up.
_BREAKS = {
    "unsupported": "delete window.MediaStreamTrackGenerator",
    "codec": _BEFORE_WORKER.replace("CODE", '"AudioDecoder.isConfigSupported = async () => ({ supported: false });"'),
    "decoder": _BEFORE_WORKER.replace(
        "CODE",
        """`{
          const decode = VideoDecoder.prototype.decode;
          let count = 0;
          VideoDecoder.prototype.decode = function (chunk) {
            count += 1;
            if (count !== 60) return decode.call(this, chunk);
            decode.call(this, new EncodedVideoChunk({ type: "key", timestamp: 0, data: new Uint8Array(50).fill(255) }));
          };
        }`""",
    ),
}


async def wish(class_api: Api) -> None:
    """Set the lowest delay, as the studio does."""
    token = (await class_api.teacher())["token"]
    url = f"{class_api.node['api_url']}/api/rooms/{class_api.node.room}/settings"
    headers = {"Authorization": f"Bearer {token}"}
    async with class_api.session.post(url, json={"lowest_delay": True}, headers=headers) as response:
        assert response.status == 200, await response.text()


async def open_page(browser: Browser, classroom: Classroom) -> Page:
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    await page.add_init_script(_SOUND)
    await join(page, classroom)
    return page


async def plays(page: Page, how: str) -> bool:
    """Whether the class is live, and the lowest delay played or given up: ``on`` or a reason."""
    return await is_state(page, "live") and await page.evaluate("window.airnode.lowDelay") == how


async def sound_is_near(page: Page) -> bool:
    behind_ms = await page.evaluate("window.airnode.soundBehindMs")
    return behind_ms is not None and abs(behind_ms) < 100


async def is_near(page: Page) -> bool:
    found = await latency_ms(page)
    return found is not None and -20 < found < 500


async def test_a_class_with_the_lowest_delay_is_operated_like_any_other(
    classroom: Classroom, class_api: Api, clip: Path
):
    await wish(class_api)
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await open_page(browser, classroom)
            await eventually(lambda: plays(page, "on"), 30, "the page plays with the lowest delay")
            await mark(page)
            await moving(page)
            await eventually(lambda: sound_is_near(page), 20, "the picture has its sound")
            await eventually(lambda: is_near(page), 20, "the page measures its latency")
            gain = "window.gains.at(-1).gain.value"
            await page.keyboard.press("m")
            await eventually(lambda: page.evaluate(f"{gain} === 0"), 5, "it is muted")
            await page.keyboard.press("m")
            await eventually(lambda: page.evaluate(f"{gain} === 1"), 5, "it is heard again")
            await page.evaluate("document.querySelector('video').volume = 0.25")
            await eventually(
                lambda: page.evaluate(f"{gain} === 0.25"), 5, "the sound has the volume of the video element"
            )
            await page.keyboard.press("f")
            await eventually(lambda: page.evaluate("document.fullscreenElement !== null"), 5, "full screen")
            await moving(page)
            await page.keyboard.press("f")
            await page.keyboard.press(" ")
            await eventually(lambda: page.evaluate("document.querySelector('video').paused"), 5, "it pauses")
            before, then = await positions(page)
            assert before == then
            await page.keyboard.press(" ")
            await moving(page)
            await eventually(lambda: is_near(page), 20, "a pause ends at the live edge")
            assert not await unmarked(page)
            assert await plays(page, "on")
    finally:
        await publisher.stop()


async def positions(page: Page) -> tuple[float, float]:
    """Return the position now and a second later."""
    position = "document.querySelector('video').currentTime"
    before = float(await page.evaluate(position))
    await asyncio.sleep(1)
    return before, float(await page.evaluate(position))


async def test_picture_in_picture_goes_on(classroom: Classroom, class_api: Api, clip: Path):
    await wish(class_api)
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await open_page(browser, classroom)
            await eventually(lambda: plays(page, "on"), 30, "the page plays with the lowest delay")
            await page.locator(".stage").click(position={"x": 300, "y": 100})
            opened = await page.evaluate(
                "document.querySelector('video').requestPictureInPicture().then(() => true, (error) => String(error))"
            )
            if opened is not True:
                pytest.skip(f"this browser shows no picture in picture: {opened}")
            before, then = await positions(page)
            assert then > before + 0.5, "the picture is elsewhere, and goes on"
            assert await plays(page, "on")
    finally:
        await publisher.stop()


async def test_a_teacher_who_comes_back_is_seen_again(classroom: Classroom, class_api: Api, clip: Path):
    await wish(class_api)
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            page = await open_page(browser, classroom)
            await eventually(lambda: plays(page, "on"), 30, "the page plays with the lowest delay")
            await moving(page)
            await publisher.kill()
            await eventually(lambda: is_state(page, "reconnecting"), what="the page says that the teacher reconnects")
            publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
            await eventually(lambda: plays(page, "on"), 30, "the class goes on")
            await moving(page)
            await eventually(lambda: sound_is_near(page), 20, "the picture has its sound")
    finally:
        await publisher.kill()


async def gives_up(page: Page, classroom: Classroom, reason: str) -> None:
    await page.add_init_script(_BREAKS[reason])
    await join(page, classroom)
    await eventually(lambda: plays(page, reason), 60, f"the page says why it gave up ({reason})")
    await moving(page)
    assert await page.evaluate("window.airnode.path") == "live", reason
    assert await page.evaluate("document.querySelector('video').buffered.length") > 0, reason


async def test_where_it_does_not_work_pages_play_as_usual(classroom: Classroom, class_api: Api, clip: Path):
    await wish(class_api)
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser, asyncio.TaskGroup() as work:
            for reason in _BREAKS:
                page = await browser.new_page(viewport=DESKTOP, locale="en-US")
                work.create_task(gives_up(page, classroom, reason))
    finally:
        await publisher.stop()


async def test_sound_begins_with_a_touch_where_the_browser_wants_one(classroom: Classroom, class_api: Api, clip: Path):
    await wish(class_api)
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium(autoplay=False) as browser:
            page = await open_page(browser, classroom)
            await eventually(lambda: plays(page, "on"), 30, "the page plays with the lowest delay")
            # After a reload the page plays without having been touched. Playwright's scripts count as touches, so that
            # none may run before the button is there.
            await page.add_init_script(_SAYS_BUTTON)
            async with page.expect_console_message(lambda message: message.text == "sound button", timeout=30_000):
                await page.reload()
            await eventually(lambda: plays(page, "on"), 30, "the page plays with the lowest delay")
            await moving(page)
            await page.locator(".sound-button").click()
            await eventually(lambda: page.evaluate("window.contexts.at(-1).state === 'running'"), 10, "sound")
            await eventually(lambda: sound_is_near(page), 20, "the picture has its sound")
    finally:
        await publisher.stop()


async def test_the_studio_sets_it_and_its_own_preview_has_it(classroom: Classroom, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        async with chromium() as browser:
            studio = await browser.new_page(viewport=DESKTOP, locale="en-US")
            address = f"/studio?room={classroom.room}#secret={classroom['teacher_secret']}"
            await studio.goto(classroom["api_url"] + address)
            await eventually(lambda: plays(studio, "on"), 30, "the preview plays with the lowest delay")
            await eventually(lambda: is_near(studio), 20, "the studio shows the latency")
            page = await open_page(browser, classroom)
            await eventually(lambda: plays(page, "off"), 30, "the class plays as usual")
            await studio.get_by_label("Lowest delay").check()
            await page.reload()
            await eventually(lambda: plays(page, "on"), 30, "the class plays with the lowest delay")
            await studio.reload()
            box = studio.get_by_label("Lowest delay")
            await box.wait_for()
            assert await box.is_checked()
    finally:
        await publisher.stop()
