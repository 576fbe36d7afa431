"""``python -m tests.bench.browser``: from a browser that publishes to the screen of another browser, on loopback.

The publishing page gets, in place of its camera, a canvas of 1280x720 that shows the time (milliseconds, as black and
white cells) and noise, which uses up the bit rate. The watching page, in another Chromium, reads the cells of each
frame that it shows. The delay of a frame is the time between these two moments, both on this machine's clock:

- encoder: the publishing worker gives the frame to the browser's encoder (:mod:`tests.bench.browser_stages`); the time
  from drawing it until then is a stage of its own, because a canvas is not a camera;
- shown: ``expectedDisplayTime`` of the frame in ``requestVideoFrameCallback``, or the callback's own time where that is
  later.

A student watches at the origin, then one at another slave. The origin's CPU time is measured while the first one
watches, with Opus converted to AAC and with Opus passed through.
"""

import asyncio
import contextlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click
from playwright.async_api import Browser, Page, Request, Route, ViewportSize
from rich.console import Console

from tests.bench.browser_stages import Encoded, Stages, mark_worker, take_encoded
from tests.bench.meters import ProcessMeter, Usage, quantile
from tests.bench.playback import wait_until_shown
from tests.bench.report import Figure, Report
from tests.support.browser import DESKTOP, chromium
from tests.support.cluster import TEACHER, USUAL, Cluster
from tests.support.waiting import eventually

BITS, CELL = 24, 40
_STUDENT: ViewportSize = {"width": 800, "height": 500}
_WARM_S = 10.0
#: Targets: p50 at the origin and at the second slave (ms), CPU without and with conversion (% of a core).
_ORIGIN_MS, _EDGE_MS, _PLAIN_CPU, _CONVERTED_CPU = 250, 300, 1.0, 3.0

_CAMERA = """([bits, cell]) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1280, 720];
  const context = canvas.getContext("2d", { alpha: false });
  const noises = Array.from({ length: 8 }, () => {
    const noise = document.createElement("canvas");
    [noise.width, noise.height] = [320, 96];
    const dots = noise.getContext("2d");
    const pixels = dots.createImageData(320, 96);
    const words = new Uint32Array(pixels.data.buffer);
    for (let index = 0; index < words.length; index += 1) words[index] = 0xff000000 | (Math.random() * 0xffffff);
    dots.putImageData(pixels, 0, 0);
    return noise;
  });
  let count = 0;
  const draw = () => {
    context.drawImage(noises[count++ % noises.length], 320, 400);
    const now = Math.round(performance.timeOrigin + performance.now()) % 2 ** bits;
    for (let bit = 0; bit < bits; bit += 1) {
      context.fillStyle = Math.floor(now / 2 ** bit) % 2 ? "#fff" : "#000";
      context.fillRect(bit * cell, 0, cell, cell);
    }
  };
  setInterval(draw, 1000 / 30);
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => (wanted.video ? canvas.captureStream(30) : real(wanted));
}"""
_SAMPLE = """([bits, cell]) => {
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bits * 8, 1];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bench = (window.bench = { frames: [], waits: 0, own: [], ahead: [], rates: [] });
  setInterval(() => {
    const { latencyMs, aheadS, playbackRate } = window.airnode;
    if (latencyMs !== null) bench.own.push(latencyMs);
    bench.ahead.push(aheadS);
    bench.rates.push(playbackRate);
  }, 250);
  video.addEventListener("waiting", () => (bench.waits += 1));
  const measure = (now, shown) => {
    const scale = video.videoWidth / 1280;
    let number = 0;
    context.drawImage(video, 0, cell * scale * 0.4, bits * cell * scale, 4, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    for (let bit = 0; bit < bits; bit += 1) if (data[(bit * 8 + 4) * 4] > 128) number += 2 ** bit;
    const at = performance.timeOrigin + Math.max(now, shown.expectedDisplayTime);
    bench.frames.push([at, number]);
    video.requestVideoFrameCallback(measure);
  };
  video.requestVideoFrameCallback(measure);
}"""


@dataclass(frozen=True)
class Seen:
    """The results of one page: frames on its screen, as (unix ms, number), and what the worker noted of them."""

    shown: list[tuple[float, int]]
    encoded: list[Encoded]
    own_ms: list[float]
    ahead_s: list[float]
    waits: int
    details: dict[str, Any]

    def figures(self, key: str, title: str, target_ms: float | None) -> list[Figure]:
        stages = Stages(self.encoded, self.shown, 2**BITS)
        return [
            *stages.figures(key, title, target_ms),
            Figure(f"{key}_own", f"{title}: ... since the node got it, by the page", quantile(self.own_ms, 0.5), "ms"),
            Figure(f"{key}_ahead", f"{title}: ... media in hand", quantile(self.ahead_s, 0.5) * 1000, "ms"),
            Figure(f"{key}_waiting", f"{title}: `waiting` events", self.waits, ""),
            Figure(f"{key}_frames", f"{title}: frames read", len(self.shown), ""),
        ]


@contextlib.asynccontextmanager
async def published(browser: Browser, cluster: Cluster) -> AsyncIterator[Page]:
    """Yield the studio page while it publishes."""
    page = await browser.new_page(viewport=DESKTOP, locale="en-US", bypass_csp=True)
    await page.add_init_script(f"({_CAMERA})({json.dumps([BITS, CELL])})")
    await mark_worker(page, BITS, CELL)
    await page.goto(f"{cluster.master['api_url']}/studio#secret={TEACHER}")
    await page.get_by_role("button", name="Check camera and microphone").click()
    await page.get_by_role("button", name="Go live").click()
    await page.locator('[data-golive="live"]').wait_for()
    # The preview decodes the stream too, and is not measured.
    await page.evaluate("document.querySelector('.stage video')?.pause()")
    # Nor is what this machine, without a graphics card, spends on painting the teacher's page.
    await page.evaluate("document.body.hidden = true")
    try:
        yield page
    finally:
        await page.close()


async def watch(browser: Browser, cluster: Cluster, avoid: str) -> Page:
    """Return a student's page that plays from another node than ``avoid``."""
    context = await browser.new_context(viewport=_STUDENT, locale="en-US")
    page = await context.new_page()

    async def ask(route: Route, request: Request) -> None:
        body = {**json.loads(request.post_data or "{}"), "avoid": avoid}
        await route.fulfill(response=await route.fetch(post_data=json.dumps(body)))

    await page.route("**/api/token", ask)
    await page.goto(cluster.master["class_url"])
    await page.get_by_label("Your name").fill("Mina")
    await page.get_by_role("button", name="Join").click()
    await wait_until_shown(page)
    return page


async def sample(page: Page, studio: Page, seconds: float) -> Seen:
    await take_encoded(studio)
    await page.evaluate(_SAMPLE, [BITS, CELL])
    early_stalls = await page.evaluate("window.airnode.stalls")
    await asyncio.sleep(seconds)
    found: dict[str, Any] = await page.evaluate("window.bench")
    shown = [(at_ms, number) for at_ms, number in found["frames"]]
    details = {
        "path": await page.evaluate("window.airnode.path"),
        "stalls_before": early_stalls,
        "rates": sorted(set(found["rates"])),
        "own_ms": [round(each) for each in found["own"]],
        "ahead_ms": [round(each * 1000) for each in found["ahead"]],
        "longest_gap_ms": max((b[0] - a[0] for a, b in itertools.pairwise(shown)), default=None),
    }
    return Seen(shown, await take_encoded(studio), found["own"], found["ahead"], found["waits"], details)


async def measure(report: Report, console: Console, seconds: float, work: Path, opus: str) -> None:
    """Measure with ``browser.opus`` set to ``aac`` or ``pass``."""
    converted = opus == "aac"
    console.print(f"Opus: {'converted to AAC' if converted else 'passed through'}")
    async with aiohttp.ClientSession() as session, chromium(camera=True) as encoder, chromium() as viewer:
        (work / opus).mkdir()
        cluster = Cluster(work / opus, session, *USUAL)
        try:
            await cluster.master.start()
            for name in ("slave-1", "slave-2"):
                await cluster.add_slave(name, "--set", f"browser.opus={opus}")
            async with published(encoder, cluster) as studio:
                await _measure(report, cluster, studio, viewer, seconds, converted=converted)
        finally:
            await cluster.close()


async def _measure(
    report: Report, cluster: Cluster, studio: Page, viewer: Browser, seconds: float, *, converted: bool
) -> None:
    async def live() -> dict[str, Any] | None:
        streams = (await cluster.call("GET", "/cluster/streams"))[1]["streams"]
        return streams[0] if streams and streams[0]["bitrate_bps"] else None

    stream = await eventually(live, what="the class is live")
    assert stream is not None
    nodes = {each["node_id"]: name for name, each in (await cluster.listed()).items()}
    origin, edge = stream["origin"], next(each for each in nodes if each != stream["origin"])
    meter = ProcessMeter(cluster.node(nodes[origin]).pid)
    seen: list[Seen] = []
    for avoid in (edge, origin):  # one after the other: each page decodes the picture, which takes much of this machine
        page = await watch(viewer, cluster, avoid)
        await asyncio.sleep(_WARM_S)
        before = meter.read()
        seen.append(await sample(page, studio, seconds))
        if avoid == edge:
            used = meter.since(before)
        await page.context.close()
    bitrate_bps = ((await live()) or stream)["bitrate_bps"]
    outgoing = await studio.locator(".golive-state .figures").inner_text()
    _report(report, seen[0], seen[1], used, bitrate_bps, outgoing, converted=converted)


def _report(
    report: Report, origin: Seen, edge: Seen, used: Usage, bitrate_bps: float, outgoing: str, *, converted: bool
) -> None:
    key = "converted" if converted else "plain"
    target = _CONVERTED_CPU if converted else _PLAIN_CPU
    report.add(
        "Opus to AAC" if converted else "Opus passed through",
        *origin.figures(f"{key}_origin", "at the origin", _ORIGIN_MS),
        *edge.figures(f"{key}_edge", "at a second slave", _EDGE_MS),
        Figure(f"{key}_cpu", "CPU of the origin, one core", used.own * 100, "%", target),
        Figure(f"{key}_bitrate", "bit rate", bitrate_bps / 1e6, "Mbit/s"),
        Figure(f"{key}_machine", "CPU of the whole machine", used.machine, "cores"),
    )
    report.details[key] = {"outgoing": outgoing.split("\n"), "origin": origin.details, "edge": edge.details}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(5, 120), default=30.0, show_default=True, help="Length of a round.")
@click.option("--only", type=click.Choice(["aac", "pass"]), default=None, help="Only with this browser.opus.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here too.")
def main(seconds: float, only: str | None, json_path: Path | None) -> None:
    """Measure the delay from one browser to another and the CPU time of the origin, on this machine.

    Prints progress and a table on standard error, and one JSON document as the last line on standard output.
    """
    console, report = Console(stderr=True), Report()
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as work:
        for opus in (only,) if only else ("pass", "aac"):
            asyncio.run(measure(report, console, seconds, Path(work), opus))
    report.publish(console, json_path)


if __name__ == "__main__":
    main()
