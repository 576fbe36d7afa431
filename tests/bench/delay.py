"""``python -m tests.bench.delay``: from the encoder to the screen, in headless Chromium on loopback.

The delay of a frame is the time between these two moments, both on this machine's clock:

- sent: the encoder handed the last byte of the frame to its socket (``TimedPublisher.sent_s``);
- shown: ``expectedDisplayTime`` of the frame in ``requestVideoFrameCallback``, and at least one refresh of the screen
  after the callback's own time. For a ``MediaStreamTrack`` (WebCodecs), ``expectedDisplayTime`` is only when Chromium
  got the frame; what is drawn then is on the screen one refresh later. The picture contains the number of the frame.

The page's own figure (the studio and the badge show it) is the same with one difference: "sent" is when the server
received the frame (``prft`` in live.mp4), by the server's clock as the page estimates it. The bench reports the
difference of the two.

A link between the media port and the page can delay the data, or hold it for a second.
"""

import asyncio
import itertools
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from playwright.async_api import Browser, Page, Route
from rich.console import Console

from tests.bench.bench import Bench, Running
from tests.bench.link import ShapedLink
from tests.bench.meters import quantile
from tests.bench.playback import wait_until_shown
from tests.bench.report import Figure, Report
from tests.bench.source import TimedPublisher, bench_clip, without_sound
from tests.support.browser import DESKTOP, chromium
from tests.support.ffmpeg import BITS, WIDTH, clock_band

_KEPT = Path("bench-results")
_WARM_S = 12.0
_JITTER_MS = (20.0, 50.0)
_HOLD_S = 1.0
#: Seconds from one stall to the next, and from the ends of a round to its first and last stall.
_STALL_EVERY_S, _STALL_EDGE_S = 15.0, 5.0
#: The delay has recovered when the median of ``_BACK_FRAMES`` frames is at most ``_BACK_WITHIN_MS`` above the median
#: of the last ``_BEFORE_S`` before the stall.
_BACK_FRAMES, _BACK_WITHIN_MS, _BEFORE_S = 5, 25.0, 2.0
_NEVER_S = 99.0
_FREEZE_MS = 250.0
#: The playback rate is steady if no two changes of it are closer together than this.
_STEADY_S = 2.0

#: Notes each frame that is shown (when, which number, at which media time), `waiting` and changes of rate.
_SAMPLE = """([bits, part, centre]) => {
  const video = document.querySelector("video"), canvas = document.createElement("canvas");
  canvas.width = bits * 8; canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const unixMs = (ms) => performance.timeOrigin + ms;
  const bench = (window.bench = { frames: [], own: [], ahead: [], sound: [], rates: [], waits: [] });
  bench.refreshMs = 1000 / 60;
  let [refreshes, before, shortest] = [20, NaN, Infinity];
  const refresh = (now) => {
    if (now - before >= 3) shortest = Math.min(shortest, now - before);
    before = now;
    if ((refreshes -= 1) > 0) requestAnimationFrame(refresh);
    else if (shortest < 250) bench.refreshMs = shortest;
  };
  requestAnimationFrame(refresh);
  video.addEventListener("waiting", () => bench.waits.push(unixMs(performance.now())));
  video.addEventListener("ratechange", () => bench.rates.push([unixMs(performance.now()), video.playbackRate]));
  const measure = (now, shown) => {
    const { videoWidth: width, videoHeight: height } = video;
    context.drawImage(video, 0, height * centre - 2, width * part, 4, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    let number = 0;
    for (let bit = 0; bit < bits; bit += 1) if (data[(bit * 8 + 4) * 4] > 128) number += 2 ** bit;
    const at = Math.max(now + bench.refreshMs, shown.expectedDisplayTime);
    bench.frames.push([unixMs(at), number, shown.mediaTime]);
    video.requestVideoFrameCallback(measure);
  };
  video.requestVideoFrameCallback(measure);
  setInterval(() => {
    const { latencyMs, aheadS, soundBehindMs } = window.airnode;
    if (latencyMs !== null) bench.own.push(latencyMs);
    if (typeof soundBehindMs === "number") bench.sound.push(soundBehindMs);
    bench.ahead.push(aheadS);
  }, 250);
}"""


@dataclass(frozen=True)
class Way:
    """One way to watch over one kind of link, with its targets in ms."""

    key: str
    title: str
    path: str = "live"
    sound: bool = True
    jitter: bool = False
    stalls: bool = False
    p50_ms: float | None = None
    p95_ms: float | None = None
    back_s: float | None = None
    sound_ms: float | None = None


WAYS = (
    Way("mse", "MSE with sound", p50_ms=150, p95_ms=180),
    Way("mse_jitter", "MSE with sound, 20-50 ms jitter", jitter=True, p50_ms=210, p95_ms=230),
    Way("mse_silent", "MSE without sound", sound=False, p50_ms=65, p95_ms=80),
    Way("mse_silent_jitter", "MSE without sound, 20-50 ms jitter", sound=False, jitter=True),
    Way("webcodecs", "WebCodecs with sound", path="lowdelay", p50_ms=100, p95_ms=120),
    Way("webcodecs_free", "WebCodecs, picture free", path="lowdelay-free", p50_ms=40, p95_ms=55, sound_ms=80),
    Way("webcodecs_jitter", "WebCodecs with sound, 20-50 ms jitter", path="lowdelay", jitter=True),
    Way("webcodecs_stall", "WebCodecs with sound, stalls of 1 s", path="lowdelay", stalls=True, back_s=0.5),
    Way("mse_stall", "MSE with sound, stalls of 1 s", stalls=True, back_s=3.0),
)


@dataclass
class Round:
    """The results of one page in one round. ``seen``: the notes of ``_SAMPLE``; ``stalls_ms``: unix ms of each hold."""

    seen: dict[str, Any]
    sent_s: dict[int, float]
    stalls_ms: list[float]
    path: str
    low_delay: str

    def delays(self) -> list[tuple[float, float]]:
        """Return (unix ms when it was shown, delay in ms) of each frame whose number was read."""
        return [(at, at - self.sent_s[n] * 1000) for at, n, _ in self.seen["frames"] if n in self.sent_s]


async def measure(bench: Bench, browser: Browser, way: Way, rounds: int, silent_clip: Path) -> None:
    """Measure one way to watch in all rounds, each with a new page and a new publisher."""
    clip = bench.clip if way.sound else silent_clip
    found = []
    async with bench.node() as node:
        for number in range(rounds):
            bench.progress(f"{way.title}: round {number + 1} of {rounds}")
            publisher = await TimedPublisher(node.process["rtmp_url"], clip).start()
            try:
                await node.live()
                found.append(await _round(browser, node, way, publisher, bench.seconds))
            finally:
                await publisher.stop()
    _report(bench, way, found)


async def _round(browser: Browser, node: Running, way: Way, publisher: TimedPublisher, seconds: float) -> Round:
    context = await browser.new_context(viewport=DESKTOP, locale="en-US")
    try:
        async with ShapedLink(node.media[1], _JITTER_MS if way.jitter else (0.0, 0.0)) as link:
            page = await context.new_page()
            await _lead_over(page, link.port)
            await page.goto(f"{node.process['class_url']}?path={way.path}")
            await page.get_by_label("Your name").fill("Mina")
            await page.get_by_role("button", name="Join").click()
            await wait_until_shown(page)
            await asyncio.sleep(_WARM_S)
            await page.evaluate(_SAMPLE, [BITS, WIDTH // BITS * BITS / WIDTH, clock_band()])
            stalls = await _stalls(page, link, seconds) if way.stalls else await asyncio.sleep(seconds, [])
            seen: dict[str, Any] = await page.evaluate("window.bench")
            path, low_delay = await page.evaluate("[window.airnode.path, window.airnode.lowDelay]")
            return Round(seen, publisher.sent_s, stalls, path, low_delay)
    finally:
        await context.close()


async def _lead_over(page: Page, port: int) -> None:
    """Make the page fetch its media from ``port``."""

    async def rewrite(route: Route) -> None:
        answer = await route.fetch()
        grant = await answer.json()
        if "hls_url" in grant:
            parts = urlsplit(grant["hls_url"])
            grant["hls_url"] = parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
        await route.fulfill(response=answer, json=grant)

    await page.route("**/api/token", rewrite)


async def _stalls(page: Page, link: ShapedLink, seconds: float) -> list[float]:
    """Hold the link again and again. Return when each hold began, in unix ms."""
    began, stalls = asyncio.get_running_loop().time(), []
    for due_s in itertools.count(_STALL_EDGE_S, _STALL_EVERY_S):  # type: ignore[arg-type]
        if due_s > max(seconds - _STALL_EDGE_S, _STALL_EDGE_S):
            break
        await asyncio.sleep(began + due_s - asyncio.get_running_loop().time())
        stalls.append(float(await page.evaluate("Date.now()")))
        link.hold(_HOLD_S)
    await asyncio.sleep(max(_STALL_EDGE_S, began + seconds - asyncio.get_running_loop().time()))
    return stalls


def _report(bench: Bench, way: Way, rounds: list[Round]) -> None:
    delays = [[delay for _, delay in each.delays()] for each in rounds]
    every = list(itertools.chain.from_iterable(delays))
    gaps = [b[0] - a[0] for each in rounds for a, b in itertools.pairwise(each.seen["frames"])]
    own = [value for each in rounds for value in each.seen["own"]]
    ahead = [value for each in rounds for value in each.seen["ahead"]]
    seconds = bench.seconds * len(rounds)
    figures = [
        Figure(f"{way.key}_p50", f"{way.title}: delay p50", quantile(every, 0.5), "ms", way.p50_ms),
        Figure(f"{way.key}_p95", f"{way.title}: delay p95", quantile(every, 0.95), "ms", way.p95_ms),
        Figure(
            f"{way.key}_waiting",
            f"{way.title}: `waiting` events",
            sum(len(each.seen["waits"]) for each in rounds),
            "",
            None if way.stalls else 0,
        ),
        Figure(
            f"{way.key}_rate_changes",
            f"{way.title}: changes of rate",
            sum(len(each.seen["rates"]) for each in rounds) / seconds,
            "/s",
        ),
        Figure(
            f"{way.key}_rate_changes_2s",
            f"{way.title}: most changes of rate within {_STEADY_S:g} s",
            max(_most_within([at for at, _ in each.seen["rates"]], _STEADY_S * 1000) for each in rounds),
            "",
            None if way.stalls or way.path != "live" else 1,
        ),
        Figure(f"{way.key}_own_p50", f"{way.title}: the page's own figure p50", quantile(own, 0.5), "ms"),
        Figure(f"{way.key}_ahead_p50", f"{way.title}: media in hand p50", quantile(ahead, 0.5) * 1000, "ms"),
        Figure(
            f"{way.key}_freezes", f"{way.title}: freezes over {_FREEZE_MS:g} ms", sum(g > _FREEZE_MS for g in gaps), ""
        ),
        Figure(f"{way.key}_frames", f"{way.title}: frames read", len(every), ""),
    ]
    sound = [value for each in rounds for value in each.seen["sound"]]
    if sound:
        figures.append(
            Figure(
                f"{way.key}_sound",
                f"{way.title}: sound behind picture p95",
                quantile(sound, 0.95),
                "ms",
                way.sound_ms,
            )
        )
    if way.stalls:
        backs = [_back_s(each, at_ms) for each in rounds for at_ms in each.stalls_ms]
        figures.append(Figure(f"{way.key}_back", f"{way.title}: back after, longest", max(backs), "s", way.back_s))
    bench.report.add("delay", *figures)
    bench.report.details[way.key] = {
        "rounds": [
            {
                "refresh_ms": round(each.seen["refreshMs"], 2),
                "p50_ms": round(quantile(delays[index], 0.5), 1),
                "p95_ms": round(quantile(delays[index], 0.95), 1),
                "waiting": len(each.seen["waits"]),
                "path": each.path,
                "low_delay": each.low_delay,
                "rates": [[round(at - each.seen["frames"][0][0]), rate] for at, rate in each.seen["rates"]][:200],
                "back_s": [round(_back_s(each, at_ms), 2) for at_ms in each.stalls_ms],
            }
            for index, each in enumerate(rounds)
        ],
        "longest_gap_ms": max(gaps, default=None),
        "delays_ms": [round(each) for each in every[:: max(1, len(every) // 300)]],
    }


def _most_within(times_ms: list[float], within_ms: float) -> int:
    """Return the largest number of ``times_ms`` within any interval of ``within_ms``."""
    return max((sum(0 <= other - at < within_ms for other in times_ms) for at in times_ms), default=0)


def _back_s(seen: Round, held_ms: float) -> float:
    """Return the seconds from the end of a hold until the delay recovered; ``_NEVER_S``: it did not."""
    delays = seen.delays()
    before = [delay for at, delay in delays if held_ms - _BEFORE_S * 1000 <= at < held_ms]
    delivered_ms = held_ms + _HOLD_S * 1000
    after = [(at, delay) for at, delay in delays if at > delivered_ms - 500]
    if not before:
        return float("nan")
    aim_ms = statistics.median(before) + _BACK_WITHIN_MS
    for index in range(len(after) - _BACK_FRAMES + 1):
        window = after[index : index + _BACK_FRAMES]
        if window[0][0] > delivered_ms and statistics.median(delay for _, delay in window) <= aim_ms:
            return max(0.0, (window[0][0] - delivered_ms) / 1000)
    return _NEVER_S


async def _run(bench: Bench, ways: list[Way], rounds: int) -> None:
    silent_clip = without_sound(bench.clip)
    async with chromium() as browser:
        for way in ways:
            await measure(bench, browser, way, rounds, silent_clip)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", metavar="NAME[,NAME…]", default=",".join(way.key for way in WAYS), show_default=True)
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(5, 60), default=30.0, show_default=True, help="Length of a round.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here too.")
def main(only: str, rounds: int, seconds: float, json_path: Path | None) -> None:
    """Measure the delay from the encoder to the screen on this machine.

    Prints progress and a table on standard error, and one JSON document as the last line on standard output.
    """
    ways = {way.key: way for way in WAYS}
    unknown = set(only.split(",")) - ways.keys()
    if unknown:
        raise click.BadParameter(f"unknown: {', '.join(sorted(unknown))}", param_hint="--only")
    console = Console(stderr=True)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as work:
        bench = Bench(seconds, 0, bench_clip(_KEPT), Path(work), report, console)
        asyncio.run(_run(bench, [ways[key] for key in only.split(",")], rounds))
    report.publish(console, json_path)


if __name__ == "__main__":
    main()
