"""Pictures of every state of the class, studio and admin pages, to look at: ``python -m tests.e2e.screenshots``.

They come from the pages' development server, which causes each state on demand, and land in test-output/screens as
``<state>-<width>x<height>-<language>-<scheme>.png``.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
from playwright.async_api import Browser, Page

from tests.support.browser import chromium
from tests.support.ports import free_ports
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
UI = ROOT / "airnode" / "ui"
OUT = ROOT / "test-output" / "screens"
SIZES = ((390, 844), (844, 390), (1366, 768))
#: Transitions take at most 150 ms; reactions over the picture are on their way up.
SETTLE_MS = 250


@dataclass(frozen=True)
class Stage:
    """The development server, and a page of one person."""

    url: str
    page: Page
    session: aiohttp.ClientSession

    async def cause(self, *events: str) -> None:
        for event in events:
            async with self.session.post(f"{self.url}/dev/{event}") as answer:
                answer.raise_for_status()

    async def tab(self, name: str) -> None:
        await self.page.locator(f"#tab-{name}").click()


Step = Callable[[Stage], Awaitable[None]]


def rules(**values: object) -> str:
    return f"chat/rules/{quote(json.dumps(values), safe='')}"


async def open_join(stage: Stage) -> None:
    await stage.page.goto(f"{stage.url}/class")


async def open_link(stage: Stage) -> None:
    await stage.page.goto(f"{stage.url}/class/ABC123")


async def join(stage: Stage) -> None:
    await stage.page.locator("#name").fill("김하늘")
    await stage.page.locator("button[type=submit]").click()
    await stage.page.locator(".composer").wait_for()


def caused(*events: str, tab: str = "chat") -> Step:
    async def step(stage: Stage) -> None:
        await stage.cause(*events)
        if await stage.page.locator(f"#tab-{tab}").count():
            await stage.tab(tab)

    return step


async def answer_poll(stage: Stage) -> None:
    await stage.page.locator(".poll-option").first.click()
    await stage.page.locator(".poll-result").wait_for()


async def raise_hand(stage: Stage) -> None:
    await stage.page.locator(".button.hand").click()


async def write(stage: Stage) -> None:
    await stage.page.locator(".composer textarea").fill("첫 줄이에요.\n둘째 줄도 있어요.")


async def send(stage: Stage) -> None:
    await stage.page.locator(".composer textarea").fill("안녕하세요, 질문 있어요!")
    await stage.page.locator(".composer textarea").press("Enter")


async def live(stage: Stage) -> None:
    await stage.cause("state/live")
    await stage.page.locator("[data-state=live]").wait_for()
    await stage.cause("chat/react")


async def away(stage: Stage) -> None:
    await stage.cause("node/down")
    await stage.page.locator(".link-note:not(.visually-hidden)").wait_for()


async def back(stage: Stage) -> None:
    await stage.cause("node/up")
    await stage.page.locator(".link-note.visually-hidden").wait_for(state="attached")
    await stage.page.locator(".composer-closed, .composer").first.wait_for()


async def removed(stage: Stage) -> None:
    await stage.cause("chat/remove")
    await stage.page.locator("[data-removed]").wait_for()


async def sign_in(stage: Stage) -> None:
    await stage.page.goto(f"{stage.url}/studio#secret=secret")
    await stage.page.locator(".share, .tabs").first.wait_for()


async def open_menu(stage: Stage) -> None:
    await stage.tab("chat")
    await stage.page.locator(".message-line .icon-button").last.click()


async def close_menu(stage: Stage) -> None:
    await stage.page.keyboard.press("Escape")


async def open_rules(stage: Stage) -> None:
    await stage.page.locator(".rules summary").click()


async def ask_removal(stage: Stage) -> None:
    await stage.tab("people")
    await stage.page.locator(".people .icon-button").first.click()
    await stage.page.locator(".menu-item.danger").click()


async def close_dialog(stage: Stage) -> None:
    await stage.page.keyboard.press("Escape")


async def open_poll(stage: Stage) -> None:
    await stage.page.locator(".actions-row .button").first.click()


async def ask_end(stage: Stage) -> None:
    await stage.page.locator(".end-class").click()


def shows(selector: str, press: str = "") -> Step:
    """Return what is done before each picture: on a small screen open what is a tab or a dialog there, and scroll."""

    async def look(stage: Stage) -> None:
        page = stage.page
        if await page.locator("dialog").count():
            await page.keyboard.press("Escape")
        if await page.locator("#tab-info").count():
            await stage.tab("info")
        if press and await page.locator(".open-record").count():
            await page.locator(".open-record").click()
        if press:
            await page.locator(press).click()
        await page.locator(selector).evaluate("(element) => element.scrollIntoView({ block: 'nearest' })")

    return look


async def join_without_name(stage: Stage) -> None:
    await stage.page.locator("button[type=submit]").click()
    await stage.page.locator(".hint.error").wait_for()


async def open_classes(stage: Stage) -> None:
    await stage.cause("classes/some")
    await stage.page.goto(f"{stage.url}/studio?view=classes")
    await stage.page.locator("[data-room=art]").wait_for()


async def open_class_menu(stage: Stage) -> None:
    await stage.page.locator("[data-room=art] .icon-button").click()


async def open_keys(stage: Stage) -> None:
    await stage.page.locator(".menu-item").nth(1).click()
    await stage.page.locator(".teacher-key .button").first.click()
    await stage.page.locator(".teacher-key code").wait_for()


async def archive(stage: Stage) -> None:
    await stage.page.keyboard.press("Escape")
    await open_class_menu(stage)
    await stage.page.locator(".menu-item").last.click()
    await stage.page.locator(".class-list .note.row").wait_for()
    await stage.page.locator(".archived summary").click()


async def open_missing(stage: Stage) -> None:
    await stage.page.goto(f"{stage.url}/studio?room=none")
    await stage.page.locator(".note.warn").wait_for()


def admin(section: str, ready: str) -> Step:
    async def step(stage: Stage) -> None:
        await stage.page.goto(f"{stage.url}/admin{section}#secret=secret")
        await stage.page.locator(ready).first.wait_for()

    return step


async def open_admin(stage: Stage) -> None:
    await stage.page.goto(f"{stage.url}/admin")
    await stage.page.locator("#secret").wait_for()


async def ask_drain(stage: Stage) -> None:
    await stage.page.locator(".node-foot .button").first.click()


async def nothing(stage: Stage) -> None:
    pass


NOT_SHOWN = ""
#: A state's name, what leads to it, and, if need be, what is done before each picture of it.
State = tuple[str, Step] | tuple[str, Step, Step]
CLASS: tuple[State, ...] = (
    ("class-code", open_join),
    ("class-link", open_link),
    ("class-no-name", join_without_name),
    ("class-empty", join),
    ("class-chat", caused("chat/crowd", "chat/fill", "chat/typing")),
    ("class-long", caused("chat/many/500")),
    ("class-writing", write),
    (NOT_SHOWN, send),
    ("class-ask", caused("chat/questions", tab="ask")),
    (NOT_SHOWN, caused("chat/hands", tab="people")),
    ("class-hand", raise_hand),
    ("class-poll", caused("chat/poll")),
    ("class-poll-answered", answer_poll),
    ("class-poll-closed", caused("chat/close")),
    ("class-slow", caused(rules(slow_mode_s=30))),
    ("class-locked", caused(rules(locked=True))),
    ("class-teacher-only", caused(rules(teacher_only=True))),
    ("class-muted", caused(rules(), "chat/mute")),
    ("class-live", live),
    ("class-reconnecting", caused("state/reconnecting")),
    ("class-ended", caused("state/ended")),
    ("class-away", away),
    (NOT_SHOWN, back),
    ("class-removed", removed),
)
STUDIO: tuple[State, ...] = (
    ("studio-before", sign_in),
    ("studio-chat", caused("chat/crowd", "chat/fill", "chat/hands", "chat/questions")),
    ("studio-menu", open_menu),
    (NOT_SHOWN, close_menu),
    ("studio-rules", open_rules),
    (NOT_SHOWN, open_rules),
    ("studio-ask", caused(tab="ask")),
    ("studio-remove", ask_removal),
    (NOT_SHOWN, close_dialog),
    ("studio-people", caused(tab="people")),
    ("studio-new-poll", open_poll),
    (NOT_SHOWN, close_dialog),
    ("studio-poll", caused("chat/poll")),
    (NOT_SHOWN, caused("chat/close")),
    ("studio-live", live),
    ("studio-desk", nothing, shows(".desk-cards")),
    ("studio-record-empty", caused("record/empty"), shows(".class-record", "#record-attendance")),
    ("studio-record-attendance", caused("record/all"), shows(".class-record", "#record-attendance")),
    ("studio-record-chat", nothing, shows(".class-record", "#record-chat")),
    ("studio-record-questions", nothing, shows(".class-record", "#record-questions")),
    ("studio-record-polls", nothing, shows(".class-record", "#record-polls")),
    ("studio-record-hands", nothing, shows(".class-record", "#record-hands")),
    ("studio-end", ask_end),
    (NOT_SHOWN, close_dialog),
    ("studio-stopped", caused("state/reconnecting")),
    ("studio-ended", caused("state/ended")),
    ("studio-classes", open_classes),
    ("studio-class-menu", open_class_menu),
    ("studio-class-keys", open_keys),
    ("studio-class-archived", archive),
    ("studio-class-missing", open_missing),
)


ADMIN: tuple[State, ...] = (
    ("admin-sign-in", open_admin),
    ("admin-cluster", admin("", ".node")),
    ("admin-drain", ask_drain),
    (NOT_SHOWN, close_dialog),
    ("admin-classes", admin("/classes", "[data-kept]")),
    ("admin-pipeline", admin("/pipeline", "[data-topic]")),
)


@asynccontextmanager
async def development_server(built: bool) -> AsyncIterator[str]:
    """Yield the address of a development server."""
    [port] = free_ports(1)
    arguments = ["dev/server.ts", "--port", str(port), *(["--built"] if built else [])]
    process = await asyncio.create_subprocess_exec(
        str(ROOT / ".venv/bin/node"), *arguments, cwd=UI, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                try:
                    async with session.get(f"{url}/class") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(answers, 30, "the development server answers")
        yield url
    finally:
        # `node` is a script that starts the real one: the whole group ends.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def shoot(browser: Browser, url: str, language: str, scheme: str, only: str) -> None:
    """Go through all states of the pages, and photograph each in every size."""
    async with aiohttp.ClientSession() as session:
        for steps in (CLASS, STUDIO, ADMIN):
            if not any(name and only in name for name, *_ in steps):
                continue
            context = await browser.new_context(
                locale=language, color_scheme="dark" if scheme == "dark" else "light", has_touch=False
            )
            page = await context.new_page()
            stage = Stage(url, page, session)
            await stage.cause("state/waiting", "chat/reset", "record/none")
            for name, step, *look in steps:
                await page.set_viewport_size({"width": SIZES[-1][0], "height": SIZES[-1][1]})
                await step(stage)
                for width, height in SIZES if name and only in name else ():
                    await page.set_viewport_size({"width": width, "height": height})
                    for each in look:
                        await each(stage)
                    await page.wait_for_timeout(SETTLE_MS)
                    await page.screenshot(path=OUT / f"{name}-{width}x{height}-{language[:2]}-{scheme}.png")
            await context.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="states whose name contains this")
    parser.add_argument("--languages", default="ko-KR,en-US")
    parser.add_argument("--schemes", default="light,dark")
    parser.add_argument("--built", action="store_true", help="the pages as they are in airnode/web/static")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    async with development_server(options.built) as url, chromium() as browser:
        for language in options.languages.split(","):
            for scheme in options.schemes.split(","):
                await shoot(browser, url, language, scheme, options.only)
    print(f"{len(list(OUT.glob('*.png')))} pictures in {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    asyncio.run(main())
