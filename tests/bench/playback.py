"""Measures in Chromium on the class page: latency by the frame numbers on screen, and the time to the first frame."""

import asyncio
from typing import Any

from playwright.async_api import Browser, Page

from tests.bench.bench import Bench, Running
from tests.bench.meters import quantile
from tests.bench.report import Figure
from tests.bench.source import TimedPublisher
from tests.support.browser import DESKTOP, chromium
from tests.support.ffmpeg import BITS, WIDTH, clock_band
from tests.support.waiting import eventually

_WARM_S = 8.0
_PAGES = 10
#: A picture that does not change for longer than this is a freeze, even if the player reports no stall.
_FREEZE_MS = 250.0

#: Reads the clock of every frame that is shown, and when it is shown, into ``bench.frames``.
_SAMPLE = """([bits, part, centre]) => {
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  canvas.width = bits * 8; canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bench = (window.bench = { frames: [], latencies: [], ahead: [], rates: [], waits: 0 });
  video.addEventListener("waiting", () => (bench.waits += 1));
  const measure = (now, shown) => {
    const { videoWidth: width, videoHeight: height } = video;
    context.drawImage(video, 0, height * centre - 2, width * part, 4, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) if (data[(bit * 8 + 4) * 4] > 128) number += 2 ** bit;
    bench.frames.push([performance.timeOrigin + Math.max(now, shown.expectedDisplayTime), number]);
    video.requestVideoFrameCallback(measure);
  };
  video.requestVideoFrameCallback(measure);
  setInterval(() => {
    const { latencyMs, aheadS, playbackRate } = window.airnode;
    if (latencyMs !== null) bench.latencies.push(latencyMs);
    bench.ahead.push(aheadS);
    bench.rates.push(playbackRate);
  }, 250);
}"""
#: Notes when something was clicked and when the first frame of a video element was shown (ms since navigation).
_WATCH = """(() => {
  const bench = (window.firstFrame = { clicked: null, shown: null });
  document.addEventListener("click", (event) => (bench.clicked = event.timeStamp), true);
  const find = new MutationObserver(() => {
    const video = document.querySelector("video");
    if (!video) return;
    find.disconnect();
    video.requestVideoFrameCallback((now, frame) => (bench.shown = Math.max(now, frame.expectedDisplayTime)));
  });
  find.observe(document, { childList: true, subtree: true });
})()"""


async def latency(bench: Bench) -> None:
    """Measure the latency from ingest to screen, with parts of 200 and of 100 ms."""
    async with chromium() as browser:
        for part_ms in (200, 100):
            bench.progress(f"latency with {part_ms} ms parts")
            await _latency(bench, browser, part_ms)


async def _latency(bench: Bench, browser: Browser, part_ms: int) -> None:
    async with bench.node("--set", f"hls.part_target_ms={part_ms}") as node:
        publisher = await TimedPublisher(node.process["rtmp_url"], bench.clip).start()
        try:
            await node.live()
            seen = await _watch_frames(browser, node, bench.seconds)
        finally:
            await publisher.stop()
    delays = [at_ms - publisher.sent_s[frame] * 1000 for at_ms, frame in seen["frames"] if frame in publisher.sent_s]
    gaps = [b[0] - a[0] for a, b in zip(seen["frames"], seen["frames"][1:], strict=False)]
    frozen_ms = [gap for gap in gaps if gap > _FREEZE_MS]
    key, name = f"latency_{part_ms}", f"{part_ms} ms parts: "
    target_ms = 1000 if part_ms == 200 else None
    bench.report.add(
        "latency",
        Figure(f"{key}_p50", name + "ingest to screen p50", quantile(delays, 0.5), "ms", target_ms),
        Figure(f"{key}_p95", name + "ingest to screen p95", quantile(delays, 0.95), "ms"),
        Figure(f"{key}_page_p50", name + "the page's own figure p50", quantile(seen["latencies"], 0.5), "ms"),
        Figure(f"{key}_ahead_p50", name + "media in hand p50", quantile(seen["ahead"], 0.5) * 1000, "ms"),
        Figure(f"{key}_stalls", name + "stalls", seen["stalls"], ""),
        Figure(f"{key}_freezes", name + f"freezes over {_FREEZE_MS:g} ms", len(frozen_ms), ""),
        Figure(f"{key}_frozen", name + "... of the time", sum(frozen_ms) / bench.seconds / 10, "%"),
        Figure(f"{key}_frames", name + "frames read", len(delays), ""),
    )
    bench.report.details[key] = {
        "unread": len(seen["frames"]) - len(delays),
        "longest_gap_ms": max(gaps, default=None),
        "rates": sorted(set(seen["rates"])),
        "delays_ms": [round(each) for each in delays[:: max(1, len(delays) // 200)]],
        "page_ms": [round(each) for each in seen["latencies"]],
    }


async def _watch_frames(browser: Browser, node: Running, seconds: float) -> dict[str, Any]:
    """Return the frames that the page shows, after its playback has settled."""
    context = await browser.new_context(viewport=DESKTOP, locale="en-US")
    try:
        page = await context.new_page()
        await _join(page, node)
        await wait_until_shown(page)
        await asyncio.sleep(_WARM_S)
        stalls = await page.evaluate("window.airnode.stalls")
        await page.evaluate(_SAMPLE, [BITS, WIDTH // BITS * BITS / WIDTH, clock_band()])
        await asyncio.sleep(seconds)
        seen: dict[str, Any] = await page.evaluate("window.bench")
        seen["stalls"] = await page.evaluate("window.airnode.stalls") - stalls
        return seen
    finally:
        await context.close()


async def join(bench: Bench) -> None:
    """Measure the first frame on fresh pages: after a click on Join, and after navigation if the tab joined before."""
    pressed, own, navigated = [], [], []
    async with bench.node() as node, bench.stream(node.process["rtmp_url"]), chromium() as browser:
        await node.live()
        for index in range(_PAGES):
            bench.progress(f"first frame, page {index + 1} of {_PAGES}")
            context = await browser.new_context(viewport=DESKTOP, locale="en-US")
            try:
                page = await context.new_page()
                await page.add_init_script(_WATCH)
                await _join(page, node)
                found = await wait_until_shown(page)
                pressed.append(found["shown"] - found["clicked"])
                own.append(float(await page.locator("[data-first-frame-ms]").get_attribute("data-first-frame-ms") or 0))
                await page.reload(wait_until="commit")
                navigated.append((await wait_until_shown(page))["shown"])
            finally:
                await context.close()
    bench.report.add(
        "first frame",
        Figure("first_frame_p50", "from pressing Join, fresh page, p50", quantile(pressed, 0.5), "ms", 500),
        Figure("first_frame_max", f"... slowest of {_PAGES}", max(pressed), "ms", 500),
        Figure("first_frame_page_p50", "the page's own figure p50", quantile(own, 0.5), "ms"),
        Figure("reload_p50", "from navigation, reload of a class one is in, p50", quantile(navigated, 0.5), "ms"),
        Figure("reload_max", f"... slowest of {_PAGES}", max(navigated), "ms"),
    )
    bench.report.details["join"] = {"pressed_ms": pressed, "page_ms": own, "navigated_ms": navigated}


async def _join(page: Page, node: Running) -> None:
    """Join over LL-HLS; ``tests.bench.live`` measures live.mp4, and compares both."""
    await page.goto(node.process["class_url"] + "?path=hls")
    await page.get_by_label("Your name").fill("Mina")
    await page.get_by_role("button", name="Join").click()


async def wait_until_shown(page: Page) -> dict[str, float]:
    """Wait until the page is live. Return the notes of ``_WATCH``, if it is installed."""

    async def live() -> bool:
        return await page.locator('[data-state="live"][data-first-frame-ms]').count() > 0

    await eventually(live, 30, "the page is live")
    found: dict[str, float] = await page.evaluate("window.firstFrame ?? {}")
    return found
