"""The studio and the admin page in people's hands: keys, names, the keyboard alone, a screen reader.

All tests of the file share a node, a class and a browser.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import DESKTOP, chromium, watch_requests
from tests.support.chat_rooms import RoomClient
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.page_access import nameless, pale, tab_to

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

WAIT_MS = 20_000
#: Most chat connections of one person (``chat.max_connections_per_person``).
MOST = 20


@dataclass
class School:
    http: aiohttp.ClientSession
    classroom: Classroom
    browser: Browser

    async def page(self, path: str = "") -> Page:
        """Return a page in a browser of somebody's own; no colour is on its way to another."""
        context = await self.browser.new_context(viewport=DESKTOP, locale="en-US", reduced_motion="reduce")
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        if path:
            await page.goto(f"{self.classroom['api_url']}{path}")
        return page

    @property
    def studio_url(self) -> str:
        secret = self.classroom["teacher_secret"]
        return f"{self.classroom['api_url']}/studio?room={self.classroom.room}#secret={secret}"

    async def studio(self) -> Page:
        page = await self.page()
        await page.goto(self.studio_url)
        await expect(page.get_by_label("Write a message")).to_be_visible(timeout=WAIT_MS)
        return page

    async def teacher_key(self) -> str:
        url = f"{self.classroom['api_url']}/api/classes/{self.classroom.room}/teacher-key"
        headers = {"Authorization": f"Bearer {self.classroom['teacher_secret']}"}
        async with self.http.post(url, headers=headers) as response:
            return str((await response.json())["teacher_key"])

    async def student(self, name: str) -> RoomClient:
        """Return a student who is in the chat."""
        fields = {"user_type": "student", "user_id": name, "name": name, "code": self.classroom["class_code"]}
        _, grant = await Api(self.classroom, self.http).token(**fields)
        client = await RoomClient(self.http, self.classroom["media_url"], token=grant["token"]).connect()
        await client.ask("joinRoom", self.classroom.room)
        return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def school(shared_node: AirnodeProcess) -> AsyncIterator[School]:
    async with aiohttp.ClientSession() as http, chromium() as browser:
        yield School(http, await Classroom.open(shared_node, http), browser)


async def readable(page: Page, where: str) -> None:
    """Check that everything has a name, and that texts stand out, in light and dark."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await pale(page) == [], (where, scheme)
    assert await nameless(page) == [], where


async def test_the_key_of_a_class_opens_that_class_and_no_list(school: School):
    page = await school.page("/studio?view=classes")
    asked = await watch_requests(page)
    refused: list[str] = []
    page.on("response", lambda response: refused.append(response.url) if response.status == 403 else None)
    await page.get_by_label("Teacher secret or key").fill("tk-" + 32 * "0")
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    # One wrong secret counts once: nothing else was asked for with it.
    assert [url for url in refused if "/api/token" not in url] == []
    await page.get_by_label("Teacher secret or key").fill(await school.teacher_key())
    await page.get_by_role("textbox", name="Your name").fill("Ms Park")
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_text(school.classroom["class_code"]).first).to_be_visible()
    await expect(page.get_by_role("link", name="Classes", exact=True)).to_have_count(0)
    assert "view=classes" not in page.url
    assert [url for url in asked if "/api/classes" in url and "/record" not in url] == []
    assert len(refused) == 1
    await page.context.close()


async def test_a_teachers_name_is_seen_and_changed(school: School):
    page, mina = await school.studio(), await school.student("Mina")
    field = page.get_by_label("Write a message")
    await page.get_by_role("button", name="Give your name").click()
    await page.get_by_role("textbox", name="Your name").fill("Kim Hana")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Kim Hana").first).to_be_visible()
    await expect(field).to_be_enabled()
    await field.fill("hello")
    await field.press("Enter")
    await mina.until(lambda c: [each["user"]["name"] for each in c.got("message")] == ["Kim Hana"], "the name")
    # The list of people follows, there and here.
    people = {each["name"] for each in (await mina.ask("presence", school.classroom.room))["users"]}
    assert people == {"Kim Hana", "Mina"}
    await page.get_by_role("button", name="Change name").click()
    await page.get_by_role("textbox", name="Your name").fill("Kim Hanna")
    await page.get_by_role("button", name="Save").click()

    def told(client: RoomClient) -> bool:
        return any(each["name"] == "Kim Hanna" for news in client.got("presence") for each in news.get("joined", ()))

    await mina.until(told, "members hear of the new name")
    await mina.close()
    await page.context.close()


async def test_with_the_keyboard_alone_a_teacher_asks_and_a_screen_reader_tells(school: School):
    page, jun = await school.studio(), await school.student("Jun")
    await jun.ask("hand", school.classroom.room, {"raised": True})
    told = page.get_by_role("status")
    await expect(told.filter(has_text="Jun raised a hand")).to_have_count(1, timeout=WAIT_MS)
    await jun.ask("ask", school.classroom.room, {"content": "Why?"})
    await expect(told.filter(has_text="Question from Jun: Why?")).to_have_count(1, timeout=WAIT_MS)
    await tab_to(page, "New poll")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await readable(page, "the form of a poll")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="New poll")).to_be_focused()
    await tab_to(page, "Chat rules", backwards=True)
    await page.keyboard.press("Shift+Tab")
    await expect(page.get_by_role("tab", name="Chat")).to_be_focused()
    for tab in ("Questions", "People"):
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("tab", name=tab)).to_be_focused()
        await readable(page, tab)
    # Two keys at once: the later one counts, also while the page still draws the former.
    await page.evaluate(
        """() => new Promise((done) => {
          const press = (key) =>
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          const seen = new MutationObserver(() => {
            if (document.querySelector("#tab-chat").ariaSelected !== "true") return;
            seen.disconnect();
            press("End");
            done();
          });
          seen.observe(document.body, { subtree: true, attributes: true, childList: true });
          press("Home");
        })"""
    )
    await expect(page.get_by_role("tab", name="People")).to_have_attribute("aria-selected", "true")
    await expect(page.locator(".people").get_by_text("Jun", exact=True)).to_be_visible()
    await page.get_by_role("button", name="More for Jun").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitem").first).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("menuitem").nth(1)).to_be_focused()
    await readable(page, "the menu of a student")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="More for Jun")).to_be_focused()
    await jun.close()
    await page.get_by_role("link", name="Classes", exact=True).click()
    await expect(page.get_by_role("heading", name="Classes")).to_be_visible()
    await readable(page, "the list of classes")
    await expect(page.get_by_role("main")).to_have_count(1)
    await page.context.close()


async def test_too_many_connections_of_one_person_are_refused_in_words(school: School):
    page = await school.studio()
    async with page.expect_response("**/api/token") as answer:
        await page.reload()
    grant = await (await answer.value).json()
    await expect(page.get_by_label("Write a message")).to_be_visible()
    others = [
        await RoomClient(school.http, school.classroom["media_url"], token=grant["token"]).connect()
        for _ in range(MOST - 1)
    ]
    second = await page.context.new_page()
    await second.goto(school.studio_url)
    note = second.get_by_role("status").filter(has_text="open in too many tabs")
    await expect(note).to_have_count(1, timeout=WAIT_MS)
    await expect(page.get_by_label("Write a message")).to_be_enabled()  # the first one goes on
    for other in others:
        await other.close()
    await second.reload()
    await expect(second.get_by_label("Write a message")).to_be_visible(timeout=WAIT_MS)
    await expect(note).to_have_count(0, timeout=WAIT_MS)
    await page.context.close()


async def test_an_administrator_without_a_mouse_or_a_screen(school: School):
    page = await school.page("/admin")
    await expect(page.get_by_label("Admin secret")).to_be_focused()
    await readable(page, "the sign-in")
    await page.keyboard.type(school.classroom["admin_secret"])
    await page.keyboard.press("Enter")
    await expect(page.locator(".node")).to_be_visible()
    await readable(page, "the cluster")
    await tab_to(page, "Drain")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await readable(page, "the question before a drain")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Drain")).to_be_focused()
    for section, ready in (("Classes", "[data-kept]"), ("Pipeline", ".board")):
        await tab_to(page, section, backwards=section == "Classes")
        await page.keyboard.press("Enter")
        await expect(page.locator(ready)).to_be_visible()
        await readable(page, section)
    await expect(page.get_by_role("main")).to_have_count(1)
    await page.context.close()
