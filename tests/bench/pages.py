"""``python -m tests.bench.pages``: how soon the pages can be used on a slow phone (Chromium's CPU slowdown of 4).

Each visit has an empty cache. A page can be used when its first button is there, a frame after that was drawn, and the
main thread is free: milliseconds since the navigation began.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path

import click
from playwright.async_api import Browser
from rich.console import Console

from tests.bench.report import Figure, Report
from tests.support.browser import PHONE, chromium
from tests.support.node import AirnodeProcess

SLOWDOWN, VISITS = 4, 7
#: Target of the class page.
MAX_MS = 1000
_READY = """
  window.usable = new Promise((resolve) => {
    const look = () => {
      if (!document.querySelector("main button")) return requestAnimationFrame(look);
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
    };
    look();
  });
"""


async def usable_ms(browser: Browser, url: str, slowdown: int) -> tuple[float, int]:
    """Return (milliseconds until a visitor can use the page, bytes that were transferred until then)."""
    context = await browser.new_context(viewport=PHONE, locale="en-US")
    try:
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        await session.send("Network.enable")
        await session.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        await page.add_init_script(_READY)
        await page.goto(url, wait_until="commit")
        found: float = await page.evaluate("window.usable")
        return found, sum(sizes)
    finally:
        await context.close()


async def measure(report: Report, slowdown: int, visits: int) -> None:
    with tempfile.TemporaryDirectory(prefix="airnode-bench-") as directory:
        node = AirnodeProcess(Path(directory) / "data")
        try:
            await node.start()
            async with chromium() as browser:
                for name, url, limit in (
                    ("class", node["class_url"], MAX_MS),
                    ("studio", f"{node['api_url']}/studio", None),
                    ("admin", f"{node['api_url']}/admin", None),
                ):
                    found = [await usable_ms(browser, url, slowdown) for _ in range(visits)]
                    middle = statistics.median(each for each, _ in found)
                    report.add(
                        name,
                        Figure("usable_ms", f"until it can be used, median of {visits}", middle, "ms", limit),
                        Figure("loaded_kb", "transferred until then", found[-1][1] / 1000, "kB"),
                    )
        finally:
            await node.close()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--slowdown", default=SLOWDOWN, show_default=True, help="How many times slower the browser's CPU is.")
@click.option("--visits", default=VISITS, show_default=True, help="Visits to each page.")
def main(slowdown: int, visits: int) -> None:
    """Measure how soon the pages can be used; prints a table and a line of JSON."""
    report = Report(details={"slowdown": slowdown})
    asyncio.run(measure(report, slowdown, visits))
    report.publish(Console(stderr=True), None)


if __name__ == "__main__":
    main()
