"""The room around a class in real browsers: two students on different nodes, and their teacher."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page, Request, Route, expect

from tests.e2e.test_class import is_state, moving
from tests.support.browser import DESKTOP, PHONE, chromium
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(240)]

WAIT_MS = 20_000
MARKUP = '<img src=x onerror="window.markupRan = 1"><b>bold</b> <script>window.markupRan = 1</script>'
LINKS = "see https://example.org/a?b=1. not javascript:window.markupRan=1"


@dataclass
class Room:
    """A class that is live on a cluster of two slaves, with a browser for its people."""

    cluster: Cluster
    browser: Browser
    node_ids: list[str]
    errors: list[str] = field(default_factory=list)

    async def _page(self, viewport: dict[str, int]) -> Page:
        context = await self.browser.new_context(viewport=viewport, locale="en-US")
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        return page

    async def student(self, name: str, node: int, viewport: dict[str, int] = DESKTOP) -> Page:
        """A student who watches and chats at one of the two nodes."""
        page = await self._page(viewport)
        other = self.node_ids[1 - node]

        async def ask(route: Route, request: Request) -> None:
            asked = json.loads(request.post_data or "{}") | {"avoid": other}
            await route.continue_(post_data=json.dumps(asked))

        await page.route("**/api/token", ask)
        await page.goto(self.cluster.master["class_url"])
        await page.get_by_label("Your name").fill(name)
        await page.get_by_role("button", name="Join").click()
        await expect(page.get_by_label("Write a message")).to_be_visible(timeout=WAIT_MS)
        return page

    async def teacher(self) -> Page:
        page = await self._page({"width": 1366, "height": 768})
        master = self.cluster.master
        await page.goto(f"{master['api_url']}/studio#secret={master['teacher_secret']}")
        await expect(page.get_by_label("Write a message")).to_be_visible(timeout=WAIT_MS)
        return page


@pytest.fixture
async def room(tmp_path: Path, session: aiohttp.ClientSession, clip: Path) -> AsyncIterator[Room]:
    cluster = Cluster(tmp_path, session)
    publisher = None
    try:
        await cluster.start(2)
        master, first, _ = cluster.nodes
        publisher = await Publisher.of_clip(f"{first['rtmp_server']}/{master['stream_key']}", clip).start()
        listed = await cluster.listed()
        async with chromium() as browser:
            made = Room(cluster, browser, [listed[name]["node_id"] for name in ("slave-1", "slave-2")])
            yield made
            assert made.errors == []
    finally:
        if publisher is not None:
            await publisher.kill()
        await cluster.close()


async def write(page: Page, text: str) -> None:
    box = page.get_by_label("Write a message")
    await box.fill(text)
    await box.press("Enter")


async def sees(page: Page, text: str) -> None:
    await expect(page.get_by_role("log").get_by_text(text, exact=True)).to_be_visible(timeout=WAIT_MS)


async def tab(page: Page, name: str) -> None:
    await page.get_by_role("tab", name=name).click()


async def test_people_on_two_nodes_chat_ask_vote_and_raise_hands(room: Room):
    mina, jun, teacher = await room.student("Mina", 0), await room.student("Jun", 1, PHONE), await room.teacher()

    # Chat: the text as it was written, everywhere, and nothing of it runs.
    await write(mina, MARKUP)
    await write(jun, LINKS)
    await write(teacher, "Welcome")
    for page in (mina, jun, teacher):
        await sees(page, MARKUP)
        await sees(page, "Welcome")
        assert await page.evaluate("window.markupRan") is None
        link = page.get_by_role("log").get_by_role("link")
        await expect(link).to_have_count(1)
        assert await link.get_attribute("href") == "https://example.org/a?b=1"
        assert await link.get_attribute("rel") == "noopener noreferrer nofollow"
    await tab(teacher, "People")
    for name in ("Mina", "Jun"):
        await expect(teacher.locator(".people").get_by_text(name, exact=True)).to_be_visible(timeout=WAIT_MS)

    # A hand goes up, and the teacher lowers it.
    await jun.get_by_role("button", name="Raise hand").click()
    lower = teacher.get_by_role("button", name="Lower the hand of Jun")
    await expect(lower).to_be_visible(timeout=WAIT_MS)
    await lower.click()
    await expect(jun.get_by_role("button", name="Raise hand")).to_be_visible(timeout=WAIT_MS)

    # A poll: both answer, the tally is live, the result stays.
    await teacher.get_by_role("button", name="New poll").click()
    await teacher.get_by_label("Question").fill("Clear so far?")
    await teacher.get_by_label("Answer 1").fill("Yes")
    await teacher.get_by_label("Answer 2").fill("No")
    await teacher.get_by_role("button", name="Start the poll").click()
    for page, choice in ((mina, "Yes"), (jun, "No")):
        await page.locator(".poll-option").get_by_text(choice, exact=True).click(timeout=WAIT_MS)
    await expect(teacher.get_by_text("Answers: 2")).to_be_visible(timeout=WAIT_MS)
    await teacher.get_by_role("button", name="Close the poll").click()
    for page in (mina, jun, teacher):
        await expect(page.get_by_text("Poll closed")).to_be_visible(timeout=WAIT_MS)
        await expect(page.get_by_text("1 (50%)")).to_have_count(2)

    # A question is supported by another student, and answered.
    await tab(mina, "Questions")
    await mina.get_by_label("Ask the teacher").fill("Why?")
    await mina.get_by_label("Ask the teacher").press("Enter")
    await tab(jun, "Questions")
    await jun.get_by_role("button", name="Support this question").click(timeout=WAIT_MS)
    await tab(teacher, "Questions")
    await expect(teacher.get_by_text("1 support it")).to_be_attached(timeout=WAIT_MS)
    await teacher.get_by_role("button", name="Answered", exact=True).click()
    await expect(mina.locator("details.done")).to_be_visible(timeout=WAIT_MS)

    await teacher_reads_the_record(teacher)
    await teacher_keeps_a_list_of_classes(teacher, room.cluster.master)


async def teacher_reads_the_record(teacher: Page) -> None:
    """All that happened so far is in the record while the class is live, and in its files."""
    record = teacher.locator(".class-record")

    async def part(name: str) -> None:
        await record.get_by_role("button", name=re.compile(f"^{name} \\d+$")).click(timeout=WAIT_MS)

    for name in ("Mina", "Jun"):
        row = record.get_by_role("row").filter(has_text=name)
        await expect(row).to_contain_text("here", timeout=WAIT_MS)
        await expect(row.locator(".percent")).to_have_text(re.compile(r"^\d+%$"))
    await part("Chat")
    await expect(record.get_by_text("Welcome", exact=True)).to_be_visible(timeout=WAIT_MS)
    await expect(record.get_by_text(MARKUP, exact=True)).to_be_visible()
    await part("Questions")
    await expect(record.get_by_role("listitem").filter(has_text="Why?")).to_contain_text("answered", timeout=WAIT_MS)
    await part("Polls")
    await expect(record.get_by_text("1 (50%)")).to_have_count(2, timeout=WAIT_MS)
    await part("Hands")
    await expect(record.get_by_role("listitem").filter(has_text="Jun")).to_be_visible(timeout=WAIT_MS)
    assert await teacher.evaluate("window.markupRan") is None
    for button, holds in (("Attendance (CSV)", "Mina"), ("Hands (CSV)", "Jun"), ("Everything (JSON)", "Clear so far?")):
        async with teacher.expect_download(timeout=WAIT_MS) as download:
            await record.get_by_role("button", name=button).click()
        path = await (await download.value).path()
        content = path.read_text("utf-8")
        assert holds in content
        assert button.endswith("(JSON)") or content.startswith("\ufeff")


async def teacher_keeps_a_list_of_classes(teacher: Page, master: AirnodeProcess) -> None:
    """The list shows what is live; a class is made, renamed, archived and restored."""
    await teacher.get_by_role("link", name="Classes", exact=True).click()
    await expect(teacher.locator("[data-room=stream] .pill.live")).to_be_visible(timeout=WAIT_MS)
    await expect(teacher.locator("[data-room=stream]")).to_contain_text(master["class_code"])
    await teacher.get_by_role("button", name="New class").click()
    await teacher.get_by_label("Title").fill("Optics")
    await teacher.get_by_role("button", name="Make the class").click()
    await expect(teacher.get_by_text("Not live yet").first).to_be_visible(timeout=WAIT_MS)
    await teacher.get_by_role("link", name="Classes", exact=True).click()
    row = teacher.locator(".class-row").filter(has_text="Optics")

    async def choose(what: str) -> None:
        await row.get_by_role("button", name="More for Optics").click(timeout=WAIT_MS)
        await teacher.get_by_role("menuitem", name=what).click()

    await choose("Rename")
    await teacher.get_by_label("Title").fill("Optics II")
    await teacher.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("Optics II", timeout=WAIT_MS)
    await choose("Archive")
    await expect(row).to_have_count(0, timeout=WAIT_MS)
    await teacher.get_by_role("button", name="Undo").click()
    await expect(row).to_be_visible(timeout=WAIT_MS)


async def test_a_removed_students_picture_stops_and_the_others_go_on(room: Room):
    mina, jun, teacher = await room.student("Mina", 0), await room.student("Jun", 1), await room.teacher()
    for page in (mina, jun):
        await eventually(lambda page=page: is_state(page, "live"), 30, "the students see the class")
    await write(jun, "I disturb")
    await sees(teacher, "I disturb")

    # The message goes away everywhere, and the student writes no more.
    await teacher.get_by_role("button", name="More for the message of Jun").click()
    await teacher.get_by_role("menuitem", name="Delete message").click()
    for page in (mina, jun):
        await expect(page.get_by_role("log").get_by_text("I disturb")).to_have_count(0, timeout=WAIT_MS)
    await tab(teacher, "People")
    await teacher.get_by_role("button", name="More for Jun").click()
    await teacher.get_by_role("menuitem", name="Mute until unmuted").click()
    await expect(jun.get_by_text("The teacher has muted you")).to_be_visible(timeout=WAIT_MS)

    # Removed: the question first, then the picture is gone, a reload opens nothing, and nobody else notices.
    await teacher.get_by_role("button", name="More for Jun").click()
    await teacher.get_by_role("menuitem", name="Remove from the class").click()
    await teacher.get_by_role("button", name="Remove", exact=True).click()
    await expect(jun.get_by_role("heading", name="You were removed from the class")).to_be_visible(timeout=WAIT_MS)
    assert await jun.locator("video").count() == 0
    await jun.reload()
    await jun.get_by_label("Your name").fill("Somebody else")
    await jun.get_by_role("button", name="Join").click()
    await expect(jun.get_by_role("heading", name="You were removed from the class")).to_be_visible(timeout=WAIT_MS)
    await moving(mina)

    # Let in again, the student sees the class.
    await teacher.get_by_role("button", name="Let in again").click(timeout=WAIT_MS)
    await expect(teacher.get_by_role("button", name="Let in again")).to_have_count(0, timeout=WAIT_MS)
    await jun.get_by_role("button", name="Try again").click()
    await eventually(lambda: is_state(jun, "live"), 30, "the student is back")


async def test_a_page_chats_on_at_another_node_when_its_own_dies(room: Room):
    mina, jun = await room.student("Mina", 0), await room.student("Jun", 1)
    await write(mina, "before")
    await sees(jun, "before")
    await room.cluster.node("slave-2").kill()
    await write(mina, "while it is away")
    await eventually(lambda: is_state(jun, "live"), 40, "the picture goes on")
    await sees(jun, "while it is away")
    await write(jun, "after")
    await sees(mina, "after")
    for text in ("before", "while it is away", "after"):
        for page in (mina, jun):
            await expect(page.get_by_role("log").get_by_text(text, exact=True)).to_have_count(1)
