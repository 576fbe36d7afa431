"""``python -m tests.bench.live``: live.mp4 compared with LL-HLS: latency and first frame in Chromium, CPU."""

import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
from playwright.async_api import Browser, Page
from rich.console import Console

from tests.bench import playback
from tests.bench.bench import Bench, Running
from tests.bench.chat import ClientProcess
from tests.bench.chatgen import Load
from tests.bench.meters import quantile
from tests.bench.report import Figure, Report
from tests.bench.source import TimedPublisher, bench_clip
from tests.support.browser import DESKTOP, chromium
from tests.support.ffmpeg import BITS, WIDTH, clock_band

_KEPT = Path("bench-results")
_WARM_S = 12.0
_SETTLE_S = 5.0
_PAGES = 10
_FREEZE_MS = 250.0
#: (key, title, the page's path, settings, target of p50 in ms).
_WAYS = (
    ("live_frame", "live.mp4, one frame", "live", ("media.fragment_ms=0",), 350.0),
    ("live_100", "live.mp4, 100 ms", "live", ("media.fragment_ms=100",), None),
    ("hls_200", "LL-HLS, 200 ms parts", "hls", (), 1000.0),
)
#: (fragment_ms, viewers, target in % of a core).
_HOUSES = ((0, 150, 5.0), (0, 500, 12.0), (100, 150, None), (100, 500, None))
#: Viewers of a class, and members of its chat.
_CLASS = 500


async def latency(bench: Bench, browser: Browser) -> None:
    """Measure the latency from ingest to screen, by the frame numbers in the picture."""
    for key, title, path, settings, target_ms in _WAYS:
        bench.progress(f"latency: {title}")
        args = [each for setting in settings for each in ("--set", setting)]
        async with bench.node(*args) as node:
            publisher = await TimedPublisher(node.process["rtmp_url"], bench.clip).start()
            try:
                await node.live()
                seen = await _watch(browser, node, path, bench.seconds)
            finally:
                await publisher.stop()
        _report_latency(bench, key, title, target_ms, seen, publisher.sent_s)


def _report_latency(
    bench: Bench, key: str, title: str, target_ms: float | None, seen: dict[str, Any], sent_s: dict[int, float]
) -> None:
    frames = seen["frames"]
    delays = [at_ms - sent_s[frame] * 1000 for at_ms, frame in frames if frame in sent_s]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(frames)]
    bench.report.add(
        "latency",
        Figure(f"{key}_p50", f"{title}: ingest to screen p50", quantile(delays, 0.5), "ms", target_ms),
        Figure(f"{key}_p95", f"{title}: ingest to screen p95", quantile(delays, 0.95), "ms"),
        Figure(f"{key}_page_p50", f"{title}: the page's own figure p50", quantile(seen["latencies"], 0.5), "ms"),
        Figure(f"{key}_ahead_p50", f"{title}: media in hand p50", quantile(seen["ahead"], 0.5) * 1000, "ms"),
        Figure(f"{key}_stalls", f"{title}: stalls", seen["stalls"], ""),
        Figure(f"{key}_freezes", f"{title}: freezes over {_FREEZE_MS:g} ms", sum(gap > _FREEZE_MS for gap in gaps), ""),
        Figure(f"{key}_frames", f"{title}: frames read", len(delays), ""),
    )
    bench.report.details[key] = {"longest_gap_ms": max(gaps, default=None), "path": seen["path"]}


async def _join(page: Page, node: Running, path: str) -> None:
    await page.goto(f"{node.process['class_url']}?path={path}")
    await page.get_by_label("Your name").fill("Mina")
    await page.get_by_role("button", name="Join").click()


async def _watch(browser: Browser, node: Running, path: str, seconds: float) -> dict[str, Any]:
    context = await browser.new_context(viewport=DESKTOP, locale="en-US")
    try:
        page = await context.new_page()
        await _join(page, node, path)
        await playback.wait_until_shown(page)
        await asyncio.sleep(_WARM_S)
        stalls = await page.evaluate("window.airnode.stalls")
        await page.evaluate(playback._SAMPLE, [BITS, WIDTH // BITS * BITS / WIDTH, clock_band()])
        await asyncio.sleep(seconds)
        seen: dict[str, Any] = await page.evaluate("window.bench")
        seen["stalls"] = await page.evaluate("window.airnode.stalls") - stalls
        seen["path"] = await page.evaluate("window.airnode.path")
        return seen
    finally:
        await context.close()


async def join(bench: Bench, browser: Browser) -> None:
    """Measure the time from the click on Join to the first frame, on fresh pages."""
    async with bench.node() as node, bench.stream(node.process["rtmp_url"]):
        await node.live()
        await asyncio.sleep(_SETTLE_S)
        for path, target_ms in (("live", 250.0), ("hls", 500.0)):
            bench.progress(f"first frame: {path}")
            own, shown = [], []
            for _ in range(_PAGES):
                context = await browser.new_context(viewport=DESKTOP, locale="en-US")
                try:
                    page = await context.new_page()
                    await page.add_init_script(playback._WATCH)
                    await _join(page, node, path)
                    found = await playback.wait_until_shown(page)
                    shown.append(found["shown"] - found["clicked"])
                    attribute = await page.locator("[data-first-frame-ms]").get_attribute("data-first-frame-ms")
                    own.append(float(attribute or 0))
                finally:
                    await context.close()
            bench.report.add(
                "first frame",
                Figure(f"first_{path}_p50", f"{path}: from pressing Join p50", quantile(shown, 0.5), "ms", target_ms),
                Figure(f"first_{path}_max", f"{path}: slowest of {_PAGES}", max(shown), "ms"),
                Figure(f"first_{path}_page_p50", f"{path}: the page's own figure p50", quantile(own, 0.5), "ms"),
            )


async def viewers(bench: Bench) -> None:
    """Measure the CPU with many viewers."""
    for fragment_ms, count, target in _HOUSES:
        what = "one frame" if fragment_ms == 0 else f"{fragment_ms} ms"
        bench.progress(f"{count} viewers, {what}")
        async with (
            bench.node("--set", f"media.fragment_ms={fragment_ms}") as node,
            bench.stream(node.process["rtmp_url"]),
        ):
            await node.live()
            await asyncio.sleep(_SETTLE_S)
            async with _generator(bench, node, count) as generator:
                await _message(generator, 90)
                before = node.meter.read()
                result = await _message(generator, bench.seconds + 30)
                usage, rss_kib = node.meter.since(before), node.meter.rss_kib()
                metrics, counted = await node.metrics(), await node.viewers()
        key = f"viewers_{fragment_ms}_{count}"
        rate = result["received_bytes"] * 8 / result["seconds"] / 1e6
        bench.report.add(
            "viewers",
            Figure(f"{key}_cpu", f"{count} viewers, {what}: CPU", usage.own * 100, "% core", target),
            Figure(f"{key}_rate", f"{count} viewers, {what}: sent", rate, "Mbit/s"),
            Figure(f"{key}_late", f"{count} viewers, {what}: silences over 250 ms", result["late"], ""),
            Figure(f"{key}_longest", f"{count} viewers, {what}: longest silence", result["longest_ms"], "ms"),
            Figure(f"{key}_skips", f"{count} viewers, {what}: skips", metrics["airnode_media_live_skips_total"], "", 0),
            Figure(f"{key}_lost", f"{count} viewers, {what}: lost", result["lost"], "", 0),
            Figure(f"{key}_counted", f"{count} viewers, {what}: counted", counted, f"of {count}"),
            Figure(f"{key}_rss", f"{count} viewers, {what}: RSS", rss_kib / 1024, "MiB"),
        )
        bench.report.details[key] = {**result, "machine_busy_cores": usage.machine}


async def class_with_chat(bench: Bench) -> None:
    """Measure what the chat costs the picture: 500 viewers, without a chat and with one of 500 members."""
    async with bench.node("--set", "chat.access=open") as node, bench.stream(node.process["rtmp_url"]):
        await node.live()
        await asyncio.sleep(_SETTLE_S)
        host, port = node.media
        load = Load(
            [f"http://{host}:{port}"], _CLASS, room="stream", connect_per_s=200, rate_per_s=20, seconds=bench.seconds
        )
        for key, what in (("alone", "no chat"), ("chat", "chat, 20 messages/s")):
            bench.progress(f"{_CLASS} viewers, {what}")
            async with contextlib.AsyncExitStack() as stack:
                members = await stack.enter_async_context(ClientProcess(load)) if key == "chat" else None
                generator = await stack.enter_async_context(_generator(bench, node, _CLASS))
                await _message(generator, 90)
                before = node.meter.read()
                talking = asyncio.ensure_future(members.run()) if members is not None else None
                result = await _message(generator, bench.seconds + 30)
                usage = node.meter.since(before)
                said = await talking if talking is not None else None
            title, key = f"{_CLASS} viewers, {what}", f"class_{key}"
            bench.report.add(
                "class",
                Figure(f"{key}_stalls", f"{title}: silences over 500 ms", result["stalls"], "", 0),
                Figure(f"{key}_late", f"{title}: silences over 250 ms", result["late"], ""),
                Figure(f"{key}_longest", f"{title}: longest silence", result["longest_ms"], "ms"),
                Figure(f"{key}_cpu", f"{title}: CPU", usage.own * 100, "% core"),
                Figure(f"{key}_lost", f"{title}: lost viewers", result["lost"], "", 0),
            )
            if said is not None:
                lost = said["expected"] - said["deliveries"]
                bench.report.add(
                    "class",
                    Figure(f"{key}_messages_p99", f"{title}: messages p99", said["p99_ms"], "ms"),
                    Figure(f"{key}_messages_lost", f"{title}: messages lost", lost, "", 0),
                )
            bench.report.details[key] = {**result, "machine_busy_cores": usage.machine, "chat": said}


@asynccontextmanager
async def _generator(bench: Bench, node: Running, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    host, port = node.media
    orders = {
        "host": host,
        "port": port,
        "paths": [f"/v/{token}/stream/live.mp4" for token in node.tokens(count)],
        "ramp_s": 3,
        "warm_s": 3,
        "seconds": bench.seconds,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.livegen", stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    process.stdin.write(json.dumps(orders).encode() + b"\n")
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _message(process: asyncio.subprocess.Process, within_s: float) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the load generator ended early")
    found: dict[str, Any] = json.loads(line)
    return found


async def _run(bench: Bench, names: list[str]) -> None:
    if "viewers" in names:
        await viewers(bench)
    if "class" in names:
        await class_with_chat(bench)
    if {"latency", "join"} & set(names):
        async with chromium() as browser:
            if "latency" in names:
                await latency(bench, browser)
            if "join" in names:
                await join(bench, browser)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", metavar="NAME[,NAME…]", default="latency,join,viewers,class", show_default=True)
@click.option("--seconds", type=click.FloatRange(5, 60), default=20.0, show_default=True, help="Length of each.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here too.")
def main(only: str, seconds: float, json_path: Path | None) -> None:
    """Measure live.mp4 on this machine, and LL-HLS in the same run.

    Prints progress and a table on standard error, and one JSON document as the last line on standard output.
    """
    console = Console(stderr=True)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as work:
        bench = Bench(seconds, 0, bench_clip(_KEPT), Path(work), report, console)
        asyncio.run(_run(bench, only.split(",")))
    report.publish(console, json_path)


if __name__ == "__main__":
    main()
