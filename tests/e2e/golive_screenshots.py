"""Pictures of every state of going live from the browser, to look at: ``python -m tests.e2e.golive_screenshots``.

A real node and a browser with a made-up camera cause the states. The pictures land in test-output/screens, beside those
of ``tests.e2e.screenshots``, as ``golive-<state>-<width>x<height>-<language>-<scheme>.png``.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page

from tests.e2e.screenshots import OUT, SIZES, UI
from tests.support.browser import chromium
from tests.support.node import AirnodeProcess

LANGUAGES = {"ko-KR": "ko", "en-US": "en"}
#: What the fake camera's picture and the level need to appear.
_SETTLE_S = 1.5
_ON_AIR_S = 4.0


class Visit:
    """One studio page in one size, language and scheme."""

    def __init__(self, page: Page, name: str, words: dict[str, str]) -> None:
        self.page = page
        self.name = name
        self.words = words

    async def press(self, key: str, *, dialog: bool = False) -> None:
        """Press the button with the text of this key."""
        within = self.page.get_by_role("dialog") if dialog else self.page
        await within.get_by_role("button", name=self.words[key], exact=True).click()

    async def shot(self, state: str, wait_s: float = 0.5) -> None:
        await asyncio.sleep(wait_s)
        await self.page.screenshot(path=OUT / f"golive-{state}-{self.name}.png")

    async def all_states(self, url: str) -> None:
        await self.page.goto(url)
        await self.shot("before")
        await self.press("golive.check")
        await self.page.get_by_role("button", name=self.words["golive.start"], exact=True).wait_for()
        await self.shot("ready", _SETTLE_S)
        await self.press("golive.start")
        await self.page.locator('[data-golive="live"]').wait_for()
        await self.shot("live", _ON_AIR_S)
        await self.press("golive.mute")
        await self.press("golive.share")
        await self.shot("sharing-muted", _ON_AIR_S)
        await self.press("golive.devices")
        await self.shot("devices")
        await self.press("studio.close", dialog=True)
        await self.press("end.button")
        await self.shot("stop")
        await self.press("end.yes", dialog=True)
        await self.shot("ended", _SETTLE_S)


def words(language: str) -> dict[str, str]:
    """Return the messages of a language."""
    found: dict[str, str] = {}
    for path in sorted((UI / "src/i18n" / language).glob("*.json")):
        found |= json.loads(path.read_text())
    return found


async def photograph(
    browser: Browser, url: str, size: tuple[int, int], language: str, scheme: Literal["light", "dark"]
) -> None:
    """Photograph all states in one size, language and scheme."""
    width, height = size
    name = f"{width}x{height}-{LANGUAGES[language]}-{scheme}"
    context = await browser.new_context(
        viewport={"width": width, "height": height}, locale=language, color_scheme=scheme
    )
    try:
        await Visit(await context.new_page(), name, words(LANGUAGES[language])).all_states(url)
        page = await context.new_page()
        await page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
        await page.goto(url)
        await Visit(page, name, {}).shot("insecure", _SETTLE_S)
    finally:
        await context.close()


async def run(languages: list[str], schemes: list[Literal["light", "dark"]]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="airnode-screens-", ignore_cleanup_errors=True) as work:
        node = AirnodeProcess(Path(work) / "data")
        try:
            await node.start()
            url = f"{node['api_url']}/studio#secret={node['teacher_secret']}"
            async with chromium(camera=True) as browser:
                for size in SIZES:
                    for language in languages:
                        for scheme in schemes:
                            await photograph(browser, url, size, language, scheme)
        finally:
            await node.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", nargs="+", choices=list(LANGUAGES), default=list(LANGUAGES))
    parser.add_argument("--schemes", nargs="+", choices=["light", "dark"], default=["light", "dark"])
    chosen = parser.parse_args()
    asyncio.run(run(chosen.languages, chosen.schemes))


if __name__ == "__main__":
    main()
