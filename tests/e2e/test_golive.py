"""Going live from the browser: a teacher's Chromium publishes its camera, and a student's Chromium shows it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, Page, Route

from tests.e2e.test_class import is_state, join, mark, unmarked
from tests.support.browser import DESKTOP, chromium
from tests.support.cluster import TEACHER, Cluster
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.uplink import SlowUplink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(150)]

#: Measures the loudest sample that the page's video plays.
_LISTEN = """async () => {
  const video = document.querySelector("video");
  const captured = video.captureStream();
  if (captured.getAudioTracks().length === 0) return 0;
  window.listening ??= (() => {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(captured).connect(analyser);
    return analyser;
  })();
  const samples = new Float32Array(window.listening.fftSize);
  let most = 0;
  for (let turn = 0; turn < 20; turn += 1) {
    window.listening.getFloatTimeDomainData(samples);
    most = Math.max(most, ...samples.map(Math.abs));
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  return most;
}"""
#: A small grey picture of the video: numbers to compare.
_LOOK = """() => {
  const video = document.querySelector(SELECTOR);
  const canvas = new OffscreenCanvas(64, 36);
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 64, 36);
  const { data } = context.getImageData(0, 0, 64, 36);
  return Array.from({ length: 64 * 36 }, (_, index) => data[4 * index + 1]);
}"""


async def look(page: Page, selector: str = ".stage video") -> list[int]:
    found: list[int] = await page.evaluate(_LOOK.replace("SELECTOR", json.dumps(selector)))
    return found


def difference(a: list[int], b: list[int]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


async def shows_moving(page: Page, selector: str = ".stage video") -> None:
    """Wait until the picture is not black and changes."""
    first = await look(page, selector)

    async def changed() -> bool:
        now = await look(page, selector)
        return max(now) > 60 and difference(first, now) > 0.2

    await eventually(changed, 30, "the picture moves")


async def sounds(page: Page) -> bool:
    return await page.evaluate(_LISTEN) > 0.01


async def golive_state(page: Page) -> str | None:
    bar = page.locator("[data-golive]")
    return await bar.get_attribute("data-golive") if await bar.count() else None


async def is_golive(page: Page, wanted: str) -> bool:
    return await golive_state(page) == wanted


async def open_studio(browser: Browser, node: AirnodeProcess | Classroom, room: str = "", secret: str = "") -> Page:
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    query = f"?room={room}" if room else ""
    await page.goto(f"{node['api_url']}/studio{query}#secret={secret or node['teacher_secret']}")
    page.errors = errors  # type: ignore[attr-defined]
    return page


async def check_devices(page: Page) -> None:
    await page.get_by_role("button", name="Check camera and microphone").click()
    await page.get_by_role("button", name="Go live").wait_for()
    await shows_moving(page, ".self-view video")


async def go_live(page: Page) -> None:
    await check_devices(page)
    await page.get_by_role("button", name="Go live").click()
    await eventually(lambda: is_golive(page, "live"), 20, "the teacher is live")


async def through(page: Page, uplink: SlowUplink) -> None:
    """Let the page publish through a link."""

    async def rewrite(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        address = urlsplit(body["browser_url"])
        body["browser_url"] = address._replace(netloc=f"localhost:{uplink.port}").geturl()
        await route.fulfill(response=answer, json=body)

    await page.route("**/stream-key**", rewrite)


def media_port(node: AirnodeProcess | Classroom) -> int:
    return urlsplit(str(node["media_url"])).port or 80


@asynccontextmanager
async def teacher_and_student(classroom: Classroom) -> AsyncIterator[tuple[Page, Page]]:
    async with chromium(camera=True) as browser:
        studio = await open_studio(browser, classroom, classroom.room)
        student = await browser.new_page(viewport=DESKTOP, locale="en-US")
        yield studio, student


async def test_a_browser_goes_live_and_another_shows_its_picture_with_sound(classroom: Classroom):
    async with teacher_and_student(classroom) as (studio, student):
        await go_live(studio)
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live")
        await shows_moving(student)
        await eventually(lambda: sounds(student), 20, "the student hears the beeps")
        await shows_moving(studio)
        await studio.get_by_text("You are live").wait_for()
        await studio.get_by_role("button", name="Mute", exact=True).click()
        await studio.get_by_text("You are muted").wait_for()

        async def silent() -> bool:
            return not await sounds(student)

        await eventually(silent, 20, "the student hears nothing")
        await studio.get_by_role("button", name="End the class").click()
        await studio.get_by_role("dialog").get_by_role("button", name="End it").click()
        await eventually(lambda: is_state(student, "ended"), 10, "the class is over for the student")
        assert studio.errors == []  # type: ignore[attr-defined]


async def test_the_camera_is_turned_off_and_on_while_live(classroom: Classroom):
    async with teacher_and_student(classroom) as (studio, student):
        await go_live(studio)
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live")
        await mark(student)
        await shows_moving(student)
        await studio.get_by_role("button", name="Camera off").click()

        async def still() -> bool:
            return max(await look(student)) < 130

        await eventually(still, 20, "the sign of a camera that is off")
        await studio.get_by_role("button", name="Camera on").click()
        await shows_moving(student)
        assert not await unmarked(student)
        assert studio.errors == []  # type: ignore[attr-defined]


async def test_a_browser_without_streams_of_frames_and_a_page_that_is_throttled(classroom: Classroom):
    async with teacher_and_student(classroom) as (studio, student):
        await studio.add_init_script("delete window.MediaStreamTrackProcessor")
        await studio.reload()
        await go_live(studio)
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live")
        await shows_moving(student)
        assert studio.errors == []  # type: ignore[attr-defined]
        # What a background tab gets at worst: no timers and no animation frames at all.
        await studio.evaluate(
            "window.setTimeout = window.setInterval = window.requestAnimationFrame = () => 0; undefined"
        )
        await shows_moving(student)
        await eventually(lambda: sounds(student), 20, "the student hears the beeps")


async def test_a_teacher_who_closes_the_tab_comes_back_into_the_class(classroom: Classroom, class_api: Api):
    async with teacher_and_student(classroom) as (studio, student):
        await go_live(studio)
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live")
        token = (await class_api.teacher())["token"]
        epoch = (await class_api.room(token))["epoch"]
        browser = studio.context.browser
        assert browser is not None
        await studio.close()
        await eventually(lambda: is_state(student, "reconnecting"), 20, "the student's page waits")
        again = await open_studio(browser, classroom, classroom.room)
        await go_live(again)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live again")
        await shows_moving(student)
        assert (await class_api.room(token))["epoch"] == epoch


async def test_a_cut_connection_resumes_the_same_class(classroom: Classroom, class_api: Api):
    async with SlowUplink(media_port(classroom)) as uplink, teacher_and_student(classroom) as (studio, student):
        await through(studio, uplink)
        await go_live(studio)
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live")
        token = (await class_api.teacher())["token"]
        epoch = (await class_api.room(token))["epoch"]
        await mark(student)
        uplink.refuses = True
        uplink.cut()
        await eventually(lambda: is_golive(studio, "reconnecting"), 20, "the studio says that it reconnects")
        await eventually(lambda: is_state(student, "reconnecting"), 20, "the student's page waits")
        uplink.refuses = False
        await eventually(lambda: is_golive(studio, "live"), 20, "the teacher is live again")
        await eventually(lambda: is_state(student, "live"), 20, "the student's page is live again")
        await shows_moving(student)
        assert (await class_api.room(token))["epoch"] == epoch
        assert not await unmarked(student)


async def test_a_slow_uplink_lowers_the_bit_rate_and_a_good_one_raises_it(classroom: Classroom):
    async with SlowUplink(media_port(classroom)) as uplink, teacher_and_student(classroom) as (studio, student):
        await through(studio, uplink)
        uplink.rate_bps = 350_000
        await go_live(studio)
        limited = studio.locator(".golive-state .figure", has_text="Uplink").locator("dd")

        async def allowed_bps() -> float | None:
            """Return the bit rate that the studio says the uplink allows; None: it says that it is behind."""
            text = await limited.text_content() or ""
            found = re.search(r"limits to ([\d.]+) ([kM])bit", text)
            if found is None:
                return 2_500_000 if "good" in text else None
            return float(found[1]) * {"k": 1e3, "M": 1e6}[found[2]]

        async def low() -> float | None:
            found = await allowed_bps()
            return found if found is not None and found < 400_000 else None

        lowest = await eventually(low, 40, "the studio says that the uplink limits it")
        assert lowest is not None
        await join(student, classroom)
        await eventually(lambda: is_state(student, "live"), 30, "the student's page is live")
        await shows_moving(student)
        uplink.rate_bps = None

        async def rises() -> bool:
            return (await allowed_bps() or 0) > 1.5 * lowest

        await eventually(rises, 60, "the bit rate comes back")


async def test_a_page_without_a_secure_context_says_what_to_do(shared_node: AirnodeProcess):
    async with chromium(camera=True) as browser:
        page = await browser.new_page(viewport=DESKTOP, locale="en-US")
        address = urlsplit(str(shared_node["api_url"]))
        # A name that leads to this machine and is not localhost, as a page on the local network has.
        await page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
        await page.goto(f"{address.geturl()}/studio#secret={shared_node['teacher_secret']}")
        await page.get_by_text("through https").wait_for()


async def test_only_the_studio_may_use_the_camera(shared_node: AirnodeProcess):
    async with aiohttp.ClientSession() as session:
        policies = {}
        for path in ("/studio", "/", "/admin"):
            async with session.get(f"{shared_node['api_url']}{path}") as response:
                policies[path] = response.headers["Permissions-Policy"]
    assert policies["/studio"] == "camera=(self), microphone=(self), display-capture=(self)"
    assert policies["/"] == policies["/admin"] == "camera=(), microphone=(), display-capture=()"


async def test_the_origin_dies_and_the_class_goes_on_at_another_node(tmp_path: Path):
    async with aiohttp.ClientSession() as session:
        cluster = await Cluster(tmp_path, session).start(2)
        try:
            async with chromium(camera=True) as browser:
                studio = await open_studio(browser, cluster.master, secret=TEACHER)
                await go_live(studio)
                student = await browser.new_page(viewport=DESKTOP, locale="en-US")
                await student.goto(cluster.master["class_url"])
                await student.get_by_label("Your name").fill("Mina")
                await student.get_by_role("button", name="Join").click()
                await eventually(lambda: is_state(student, "live"), 30, "the student's page is live")
                await mark(student)
                _, streams = await cluster.call("GET", "/cluster/streams")
                origin = next(each["origin_name"] for each in streams["streams"])
                await cluster.node(origin).kill()
                await eventually(lambda: is_golive(studio, "reconnecting"), 20, "the studio reconnects")
                await eventually(lambda: is_golive(studio, "live"), 30, "the teacher is live on the other node")
                await eventually(lambda: is_state(student, "live"), 40, "the student's page is live again")
                await shows_moving(student)
                assert not await unmarked(student)
        finally:
            await cluster.close()
