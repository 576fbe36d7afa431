"""``python -m tests.bench.hls``: LL-HLS beside MediaMTX, where one is on PATH: same input, same page, same viewers.

- ``delay``: from the encoder to the screen (by the numbers in the picture, as :mod:`tests.bench.delay` defines it)
  on one page with hls.js and the settings of MediaMTX's own page, with sound;
- ``viewers``: CPU and the times of parts for low-latency viewers of a stream without sound (MediaMTX's sound is a
  rendition of its own, which would double its requests);
- ``busy``: the same while other processes want every core.

The servers take turns, round by round, so that other load of the machine affects both.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import click
from aiohttp import web
from playwright.async_api import Browser
from rich.console import Console

from tests.bench.bench import Bench, LoadGenerator
from tests.bench.hls_servers import SERVERS, LowLatencyServer
from tests.bench.meters import quantile
from tests.bench.report import Figure, Report, Skipped
from tests.bench.source import TimedPublisher, bench_clip, loop_publisher, without_sound
from tests.support.browser import DESKTOP, chromium
from tests.support.ffmpeg import BITS, WIDTH, clock_band

_KEPT = Path("bench-results")
_HLS_JS = Path(__file__).parents[2] / "airnode/ui/node_modules/hls.js/dist/hls.min.js"
_WARM_S = 12.0
_SETTLE_S = 8.0
_FREEZE_MS = 250.0
#: MediaMTX's page sets only ``maxLiveSyncPlaybackRate``.
_PAGE = """<!doctype html><video muted playsinline></video><script src="hls.js"></script><script>
  const video = document.querySelector("video"), hls = new Hls({ maxLiveSyncPlaybackRate: 1.5 });
  hls.on(Hls.Events.MEDIA_ATTACHED, () => hls.loadSource(new URLSearchParams(location.search).get("source")));
  hls.on(Hls.Events.MANIFEST_LOADED, () => video.play());
  video.onplay = () => (video.currentTime = hls.liveSyncPosition);
  hls.attachMedia(video);
</script>"""
_SAMPLE = """([bits, part, centre]) => {
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  canvas.width = bits * 8; canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bench = (window.bench = { frames: [], waits: 0 });
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
}"""
_HOLD_BACK = "document.querySelector('video') && hls.latestLevelDetails.partHoldBack"
#: {figure: (title, unit, largest ratio to MediaMTX)}
_DELAY = {
    "p50": ("delay p50", "ms", 0.9),
    "p95": ("delay p95", "ms", None),
    "hold_back": ("part hold-back", "s", 0.9),
    "waiting": ("`waiting` events a round", "", None),
    "freezes": (f"freezes over {_FREEZE_MS:g} ms a round", "", None),
}
_LOAD = {
    "cpu": ("CPU", "% core", 0.8),
    "part_p50": ("part p50", "ms", None),
    "part_p95": ("part p95", "ms", 0.9),
    "part_p99": ("part p99", "ms", 1.0),
    "late_p95": ("playlist after the first viewer's p95", "ms", None),
    "requests": ("requests", "/s", None),
    "errors": ("errors a round", "", None),
}
_BUSY = {**_LOAD, "cpu": ("CPU", "% core", None)}
Found = dict[str, float]


async def delay(bench: Bench, server: LowLatencyServer, browser: Browser) -> Found:
    """Return the figures of one page on one server."""
    publisher = await TimedPublisher(server.rtmp_url, bench.clip).start()
    context = await browser.new_context(viewport=DESKTOP, locale="en-US")
    try:
        await server.live()
        async with _page_server() as url:
            page = await context.new_page()
            await page.goto(f"{url}?source=http://{server.at[0]}:{server.at[1]}{server.entries(1)[0]}")
            await page.wait_for_function("document.querySelector('video').currentTime > 0", timeout=30_000)
            await asyncio.sleep(_WARM_S)
            await page.evaluate(_SAMPLE, [BITS, WIDTH // BITS * BITS / WIDTH, clock_band()])
            await asyncio.sleep(bench.seconds)
            seen: dict[str, Any] = await page.evaluate("window.bench")
            hold_back_s = float(await page.evaluate(_HOLD_BACK))
    finally:
        await context.close()
        await publisher.stop()
    delays = [at - publisher.sent_s[frame] * 1000 for at, frame in seen["frames"] if frame in publisher.sent_s]
    gaps = [b[0] - a[0] for a, b in zip(seen["frames"], seen["frames"][1:], strict=False)]
    return {
        "p50": quantile(delays, 0.5),
        "p95": quantile(delays, 0.95),
        "hold_back": hold_back_s,
        "waiting": seen["waits"],
        "freezes": sum(gap > _FREEZE_MS for gap in gaps),
    }


@asynccontextmanager
async def _page_server() -> AsyncIterator[str]:
    """Yield the address of the page."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def script(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_HLS_JS)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/hls.js", script)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def load(bench: Bench, server: LowLatencyServer, clip: Path, viewers: int, *, busy: bool = False) -> Found:
    """Return the figures of ``viewers`` viewers on one server; ``busy``: other processes want every core."""
    publisher = await loop_publisher(server.rtmp_url, clip).start()
    try:
        await server.live()
        await asyncio.sleep(_SETTLE_S)
        async with AsyncExitStack() as stack:
            orders = {"host": server.at[0], "port": server.at[1], "entries": server.entries(viewers)}
            order = LoadGenerator(do="watch", **orders, ramp_s=viewers / 25, warm_s=3.0, seconds=bench.seconds)
            generator = await stack.enter_async_context(order)
            if busy:
                await stack.enter_async_context(_busy_cores())
            await generator.message(120)
            before = server.meter.read()
            result = await generator.message(bench.seconds + 30)
            usage = server.meter.since(before)
    finally:
        await publisher.kill()
    bench.report.details.setdefault("load", []).append({"server": server.name, "busy": busy, **result})
    return {
        "cpu": usage.own * 100,
        **{f"part_{name}": result["part_ms"][name] for name in ("p50", "p95", "p99")},
        "late_p95": result["playlist_late_ms"]["p95"],
        "requests": result["requests"] / result["seconds"],
        "errors": sum(result["errors"].values()),
    }


@asynccontextmanager
async def _busy_cores() -> AsyncIterator[None]:
    """Keep every core busy with a process that never sleeps."""
    arguments = (sys.executable, "-c", "while True: pass")
    processes = [await asyncio.create_subprocess_exec(*arguments) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            await process.wait()


Measure = Callable[[LowLatencyServer], Awaitable[Found]]


async def _compare(
    bench: Bench, key: str, title: str, wanted: dict[str, tuple[str, str, float | None]], rounds: int, measure: Measure
) -> None:
    """Measure both servers in turn, and report the median of the rounds and the ratio."""
    found: dict[str, list[Found]] = {}
    for number in range(rounds):
        for start in SERVERS:
            try:
                async with start(bench) as server:
                    bench.progress(f"{title}, {server.name}: round {number + 1} of {rounds}")
                    found.setdefault(server.name, []).append(await measure(server))
            except Skipped as why:
                bench.report.missing[f"{key}: ratio"] = f"skipped: {why}"
    bench.report.details[key] = found
    for name, (what, unit, ratio) in wanted.items():
        middle = {server: quantile([each[name] for each in rows], 0.5) for server, rows in found.items()}
        figures = [Figure(f"{key}_{name}_{server}", f"{what}, {server}", middle[server], unit) for server in middle]
        if middle.get("MediaMTX"):
            compared = middle["airnode"] / middle["MediaMTX"]
            figures.append(Figure(f"{key}_{name}_ratio", f"{what}: ratio", compared, "x", ratio))
        bench.report.add(title, *figures)


async def _run(bench: Bench, only: list[str], rounds: int, viewers: int) -> None:
    silent = without_sound(bench.clip)
    if "delay" in only:
        async with chromium() as browser:
            await _compare(bench, "delay", "one page", _DELAY, rounds, lambda at: delay(bench, at, browser))
    if "viewers" in only:
        title = f"{viewers} viewers without sound"
        await _compare(bench, "viewers", title, _LOAD, rounds, lambda at: load(bench, at, silent, viewers))
    if "busy" in only:
        title = f"{viewers} viewers, every core busy"
        await _compare(bench, "busy", title, _BUSY, rounds, lambda at: load(bench, at, silent, viewers, busy=True))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", metavar="NAME[,NAME…]", default="delay,viewers,busy", show_default=True)
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(5, 60), default=30.0, show_default=True, help="Length of a round.")
@click.option("--viewers", type=click.IntRange(1, 2000), default=150, show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here too.")
def main(only: str, rounds: int, seconds: float, viewers: int, json_path: Path | None) -> None:
    """Measure LL-HLS beside MediaMTX on this machine.

    Prints progress and a table on standard error, and one JSON document as the last line on standard output.
    """
    names = only.split(",")
    unknown = set(names) - {"delay", "viewers", "busy"}
    if unknown:
        raise click.BadParameter(f"unknown: {', '.join(sorted(unknown))}", param_hint="--only")
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 110)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as work:
        bench = Bench(seconds, 0, bench_clip(_KEPT), Path(work), report, console)
        asyncio.run(_run(bench, names, rounds, viewers))
    report.publish(console, json_path)


if __name__ == "__main__":
    main()
