"""The class page in people's hands: a phone's keyboard, the keyboard alone, a screen reader, sleep and lost networks.

All tests of the file share one class, its teacher's chat, and a browser.
"""

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.e2e.test_class import is_state, mark, moving, unmarked
from tests.e2e.test_golive import media_port
from tests.support.browser import DESKTOP, PHONE, chromium
from tests.support.chat_rooms import RoomClient
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.page_access import nameless, pale, tab_to
from tests.support.uplink import SlowUplink
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.ffmpeg,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

WAIT_MS = 20_000
#: A phone's keyboard: it covers a part of the page without changing its size. ``keyboard(px, panned)``: so much of it,
#: and so far the browser moved what is seen.
KEYBOARD = """
  const view = new EventTarget();
  Object.assign(view, { width: innerWidth, height: innerHeight, offsetTop: 0, scale: 1 });
  Object.defineProperty(window, "visualViewport", { value: view });
  window.keyboard = (px, panned = 0) => {
    Object.assign(view, { width: innerWidth, height: innerHeight - px, offsetTop: panned });
    view.dispatchEvent(new Event("resize"));
  };
"""
_texts = (f"message {number}" for number in itertools.count())


@dataclass
class Lesson:
    classroom: Classroom
    browser: Browser
    teacher: RoomClient

    async def say(self) -> str:
        """Let the teacher write a message, and return it."""
        text = next(_texts)
        await self.teacher.ask("sendMessage", self.classroom.room, {"content": text})
        return text

    async def page(self, viewport: dict[str, int] = DESKTOP, script: str = "", **context: str) -> Page:
        """Open the students' link in a browser of somebody's own."""
        page = await (await self.browser.new_context(viewport=viewport, locale="en-US", **context)).new_page()
        if script:
            await page.add_init_script(script)
        return page

    async def enter(self, page: Page, name: str) -> Page:
        await page.goto(self.classroom["class_url"])
        await page.get_by_label("Your name").fill(name)
        await page.get_by_role("button", name="Join").click()
        await expect(field(page)).to_be_visible(timeout=WAIT_MS)
        return page


def field(page: Page) -> Locator:
    return page.get_by_label("Write a message")


async def sees(page: Page, text: str) -> None:
    await expect(page.get_by_role("log").get_by_text(text, exact=True)).to_be_visible(timeout=WAIT_MS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lesson(shared_node: AirnodeProcess, clip: Path) -> AsyncIterator[Lesson]:
    async with aiohttp.ClientSession() as http, chromium() as browser:
        classroom = await Classroom.open(shared_node, http)
        publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
        try:
            token = (await Api(classroom, http).teacher())["token"]
            teacher = await RoomClient(http, classroom["api_url"], token=token).connect()
            await teacher.ask("joinRoom", classroom.room)
            yield Lesson(classroom, browser, teacher)
            await teacher.close()
        finally:
            await publisher.kill()


async def test_a_phones_keyboard_never_covers_the_field(lesson: Lesson):
    page = await lesson.enter(await lesson.page(PHONE, KEYBOARD), "Phone")

    async def check_seen(*places: Locator, height: int, keyboard: int, panned: int) -> None:
        await page.evaluate(f"window.keyboard({keyboard}, {panned})")
        await expect(page.locator("html[data-keyboard]")).to_have_count(1)

        async def all_seen() -> bool:
            boxes = [await place.bounding_box() for place in places]
            return all(b and panned <= b["y"] and b["y"] + b["height"] <= panned + height - keyboard for b in boxes)

        await eventually(all_seen, 5, f"the field and the newest message are seen above {keyboard} pixels of keyboard")

    newest = page.get_by_role("log").get_by_text(await lesson.say(), exact=True)
    await field(page).click()
    send = page.get_by_role("button", name="Send")
    for keyboard, panned in ((336, 0), (336, 180), (420, 0)):
        await check_seen(field(page), send, newest, height=844, keyboard=keyboard, panned=panned)
    await page.keyboard.type("on a phone")
    await page.keyboard.press("Enter")
    await sees(page, "on a phone")
    await page.set_viewport_size({"width": 844, "height": 390})
    await page.evaluate("window.keyboard(0)")
    await check_seen(field(page), send, height=390, keyboard=200, panned=0)
    await page.evaluate("window.keyboard(0)")
    await expect(page.locator("html[data-keyboard]")).to_have_count(0)
    await page.set_viewport_size(PHONE)
    await page.evaluate("window.keyboard(0)")
    await page.get_by_role("tab", name="Questions").click()
    question = page.get_by_label("Ask the teacher")
    await question.click()
    await check_seen(question, height=844, keyboard=336, panned=0)
    await page.context.close()


async def test_with_the_keyboard_alone_one_joins_chats_raises_a_hand_and_votes(lesson: Lesson):
    page, room, keys = await lesson.page(), lesson.classroom.room, lesson.teacher
    await page.goto(lesson.classroom["class_url"])
    await expect(page.get_by_role("button", name="Join")).to_be_focused()
    await tab_to(page, "Your name", backwards=True)
    await page.keyboard.type("Keys")
    await page.keyboard.press("Enter")
    await expect(field(page)).to_be_visible(timeout=WAIT_MS)
    await tab_to(page, "Write a message")
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Enter")
    await sees(page, "by keyboard")
    await tab_to(page, "Raise hand")
    await page.keyboard.press("Space")
    await keys.until(lambda c: [each["raised"]["user"]["name"] for each in c.got("hand")] == ["Keys"], "the hand")
    await expect(page.get_by_role("button", name="Lower hand")).to_be_focused()
    await page.keyboard.press("Enter")
    await keys.until(lambda c: "lowered" in c.got("hand")[-1], "the hand is down")
    poll = await keys.ask("poll", room, {"open": {"question": "Keys?", "options": ["Tab", "Mouse"]}})
    await expect(page.get_by_role("group", name="Choose one answer")).to_be_visible(timeout=WAIT_MS)
    await tab_to(page, "Tab", backwards=True)
    await page.keyboard.press("Enter")
    await keys.until(lambda c: c.got("poll")[-1]["poll"]["options"][0]["votes"] == 1, "the vote")
    await keys.ask("poll", room, {"close": poll["id"]})
    await tab_to(page, "Chat")
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Questions")).to_be_focused()
    await expect(page.get_by_label("Ask the teacher")).to_be_visible()
    await page.keyboard.press("End")
    await expect(page.get_by_role("tab", name="People")).to_be_focused()
    await expect(page.locator(".people").get_by_text("Keys", exact=True)).to_be_visible(timeout=15_000)
    await page.context.close()


async def test_a_screen_reader_hears_what_is_new_and_finds_names_for_everything(lesson: Lesson):
    page, room = await lesson.page(), lesson.classroom.room
    await page.emulate_media(reduced_motion="reduce")  # no colour is on its way to another
    await page.goto(lesson.classroom["class_url"])
    await expect(page.get_by_role("button", name="Join")).to_be_visible()
    assert await nameless(page) == []
    await lesson.enter(page, "Ears")

    async def hears(text: str) -> None:
        await expect(page.get_by_role("status").filter(has_text=text)).to_have_count(1, timeout=WAIT_MS)

    text = await lesson.say()
    await hears(f": {text}")
    for _ in range(5):
        await lesson.say()
    poll = await lesson.teacher.ask("poll", room, {"open": {"question": "Heard?", "options": ["Yes", "No"]}})
    await hears("Poll: Heard?. 5 new messages")  # not each of them
    await lesson.teacher.ask("ask", room, {"content": "Is this a question?"})
    for name in ("Chat", "Questions", "People"):
        await page.get_by_role("tab", name=name).click()
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await pale(page) == [], (name, scheme)
        assert await nameless(page) == [], name
    await lesson.teacher.ask("poll", room, {"close": poll["id"]})
    await expect(page.get_by_role("main")).to_have_count(1)
    await page.context.close()


async def test_unread_marks_reactions_and_who_is_writing(lesson: Lesson):
    page, room, teacher = await lesson.enter(await lesson.page(), "Mina"), lesson.classroom.room, lesson.teacher
    chat_tab = page.get_by_role("tab", name="Chat")
    await page.get_by_role("tab", name="People").click()
    for count in (1, 2):
        await lesson.say()
        await expect(chat_tab.locator(".mark.urgent")).to_contain_text(f"{count} new", timeout=WAIT_MS)
    await teacher.ask("ask", room, {"content": "Who knows?"})
    await expect(page.get_by_role("tab", name="Questions").locator(".mark.urgent")).to_contain_text("1 new")
    await chat_tab.click()
    await expect(chat_tab.locator(".mark")).to_have_count(0)

    await teacher.emit("typing", room, True)
    await expect(page.get_by_text("is writing…")).to_be_visible(timeout=WAIT_MS)
    await field(page).press_sequentially("I")
    await teacher.until(lambda c: c.got("typing") and c.got("typing")[-1]["users"][0]["name"] == "Mina", "Mina types")
    await teacher.emit("reaction", room, "🎉")
    await expect(page.locator(".flying .fly", has_text="🎉")).to_have_count(1, timeout=WAIT_MS)
    await page.get_by_role("button", name="👏").click()
    await teacher.until(lambda c: any("👏" in each["counts"] for each in c.got("reaction")), "the reaction")

    # The name is asked for once: a reload goes on, and another visit knows it.
    await page.reload()
    await expect(field(page)).to_be_visible(timeout=WAIT_MS)
    await page.get_by_role("button", name="Leave").click()
    again = await page.context.new_page()
    await again.goto(lesson.classroom["class_url"])
    await expect(again.get_by_label("Your name")).to_have_value("Mina")
    await page.context.close()


async def through(page: Page, link: SlowUplink) -> None:
    """Let the page get media and chat through a link."""

    async def rewrite(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        for key, value in body.items():
            if key.endswith("_url") and urlsplit(value).port == link.to_port:
                body[key] = urlsplit(value)._replace(netloc=f"localhost:{link.port}").geturl()
        await route.fulfill(response=answer, body=json.dumps(body))

    await page.route("**/api/token", rewrite)


async def test_after_sleep_and_lost_networks_the_class_goes_on(lesson: Lesson):
    async with SlowUplink(media_port(lesson.classroom)) as link:
        page = await lesson.page(PHONE)
        await through(page, link)
        await lesson.enter(page, "Traveller")
        await eventually(lambda: is_state(page, "live"), 20, "the page is live")
        assert link.accepted >= 2  # media and chat
        await mark(page)

        # No network for a while.
        await page.context.set_offline(True)
        link.refuses = True
        link.cut()
        await expect(page.get_by_text("connection")).not_to_have_count(0, timeout=WAIT_MS)
        missed = [await lesson.say() for _ in range(3)]
        link.refuses = False
        await page.context.set_offline(False)
        for text in missed:
            await sees(page, text)
        await moving(page)

        # Another network: the old connections lead nowhere, and nobody says so.
        link.freeze()
        missed = [await lesson.say() for _ in range(2)]
        await page.context.set_offline(True)
        await page.context.set_offline(False)
        for text in missed:
            await sees(page, text)
        await moving(page)

        # The phone sleeps, and its connections end meanwhile.
        session = await page.context.new_cdp_session(page)
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
        link.cut()
        missed = [await lesson.say() for _ in range(2)]
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        for text in missed:
            await sees(page, text)
        await moving(page)
        assert not await unmarked(page)
        await page.context.close()
