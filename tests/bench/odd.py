"""``python -m tests.bench.odd``: one odd sample each 5 s for 20 minutes, watched in Chromium through ``live.mp4``.

A stall is a time of more than 0.5 s between two pictures on the screen (``requestVideoFrameCallback``). The memory is
that of the airnode process without its embedded servers.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click
from playwright.async_api import Browser
from rich.console import Console

from tests.bench.meters import ProcessMeter, Usage, slope
from tests.bench.report import Figure, Report
from tests.encoders.sample_cases import adts, annex_b, avcc, changed_inside, parameter_sets
from tests.encoders.stream import AUDIO, VIDEO, Tag, base, joined, tag
from tests.support.browser import DESKTOP, chromium
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.tag_publisher import Tag as SentTag
from tests.support.tag_publisher import TagPublisher
from tests.support.waiting import eventually

_STALL_MS = 500.0
#: 600 AAC frames and 384 pictures: the clip repeats without a hole.
_LOOP_MS = 12_800
_WARM_S, _READ_EVERY_S = 8.0, 2.0
#: {kind: (track, function from a message to the messages that are sent instead of it)}.
ODD: dict[str, tuple[int, Any]] = {
    "an empty NAL unit": (VIDEO, lambda b: [b + bytes(4)]),
    "stray bytes": (VIDEO, lambda b: [b + b"\xff\xff\xff"]),
    "a size beyond the frame": (VIDEO, lambda b: [b[:5] + len(b).to_bytes(4, "big") + b[9:]]),
    "a frame cut in half": (VIDEO, lambda b: [b[: len(b) // 2]]),
    "Annex B": (VIDEO, lambda b: [annex_b(b)]),
    "a configuration as a frame": (VIDEO, lambda b: [b[:5] + avcc(), b]),
    "an AUD alone": (VIDEO, lambda b: [b[:5] + joined([b"\x09\xf0"]), b]),
    "SPS and PPS alone": (VIDEO, lambda b: [b[:5] + joined(parameter_sets()), b]),
    "an empty video message": (VIDEO, lambda b: [b"", b]),
    "a video message without data": (VIDEO, lambda b: [b[:5], b]),
    "1 byte of AAC": (AUDIO, lambda b: [b"\xaf\x01\0", b]),
    "garbage in place of AAC": (AUDIO, lambda b: [b"\xaf\x01" + bytes(range(7, 207))]),
    "half an AAC frame": (AUDIO, lambda b: [b[: len(b) // 2]]),
    "other bytes in an AAC frame": (AUDIO, lambda b: [changed_inside(b)]),
    "an AudioSpecificConfig as a frame": (AUDIO, lambda b: [b"\xaf\x01\x12\x10", b]),
    "ADTS": (AUDIO, lambda b: [adts(b)]),
    "an empty audio message": (AUDIO, lambda b: [b"", b]),
}
#: Notes the times (ms) of the pictures on the screen that come more than ``_STALL_MS`` after the one before.
_WATCH = """(stallMs) => {
  const video = document.querySelector("video");
  const bench = (window.bench = { stalls: [], longest: 0, shown: 0, waits: 0, last: null });
  video.addEventListener("waiting", () => (bench.waits += 1));
  const measure = (now) => {
    if (bench.last !== null) {
      const gap = now - bench.last;
      bench.longest = Math.max(bench.longest, gap);
      if (gap > stallMs) bench.stalls.push([now, gap]);
    }
    bench.last = now;
    bench.shown += 1;
    video.requestVideoFrameCallback(measure);
  };
  video.requestVideoFrameCallback(measure);
}"""


@dataclass
class Watched:
    """What the page and the process showed.

    Attributes:
        memory: (seconds since the start, RSS in MiB).
        paths: how the media came.
    """

    page: dict[str, Any] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    usage: Usage | None = None


def repeated() -> Iterator[Tag]:
    """Yield the good stream for ever; the sequence headers only come once."""
    for number in itertools.count():
        for each in base():
            if each.at_ms < _LOOP_MS and (number == 0 or each.is_coded):
                yield tag(each.kind, each.at_ms + number * _LOOP_MS, each.body)


def odd_stream(every_s: float, sent: dict[str, int]) -> Iterator[SentTag]:
    """Yield a good stream in which one message is odd each ``every_s``; count the kinds in ``sent``.

    Key frames stay as they are: without one, the picture has to wait for the next.
    """
    kinds = itertools.cycle(ODD)
    kind, next_ms = next(kinds), every_s * 1000
    for each in repeated():
        track, change = ODD[kind]
        if each.at_ms < next_ms or each.kind != track or not each.is_coded or each.is_key:
            yield SentTag(each.kind, each.at_ms, each.body)
            continue
        for body in change(each.body):
            yield SentTag(each.kind, each.at_ms, body)
        sent[kind] = sent.get(kind, 0) + 1
        kind, next_ms = next(kinds), next_ms + every_s * 1000


async def watch(
    browser: Browser, node: AirnodeProcess, room: Classroom, seconds: float, progress: Callable[[str], None]
) -> Watched:
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    await page.goto(f"{room['class_url']}?path=auto")
    await page.get_by_label("Your name").fill("Mina")
    await page.get_by_role("button", name="Join").click()
    await eventually(lambda: page.evaluate("!!document.querySelector('video')?.currentTime"), 30, "the page plays")
    await asyncio.sleep(_WARM_S)
    await page.evaluate(_WATCH, _STALL_MS)
    seen, meter, began_s = Watched(), ProcessMeter(node.pid), time.monotonic()
    before = meter.read()
    while (passed_s := time.monotonic() - began_s) < seconds:
        seen.memory.append((passed_s, meter.rss_kib() / 1024))
        seen.paths.add(str(await page.evaluate("window.airnode.path")))
        progress(f"{passed_s:.0f} of {seconds:.0f} s")
        await asyncio.sleep(min(_READ_EVERY_S, max(0.1, seconds - passed_s)))
    seen.usage = meter.since(before)
    seen.page = await page.evaluate("window.bench")
    return seen


async def run(seconds: float, every_s: float, report: Report, progress: Callable[[str], None]) -> None:
    sent: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        node = AirnodeProcess(Path(folder) / "data")
        await node.start(60)
        try:
            async with chromium() as browser, aiohttp.ClientSession() as session:
                room = await Classroom.open(node, session)
                publisher = await TagPublisher(room, odd_stream(every_s, sent)).start()
                seen = await watch(browser, node, room, seconds, progress)
                report.failed |= publisher.ended
                findings = (await Api(room, session).room((await Api(room, session).teacher())["token"]))["stream"][
                    "findings"
                ]
                await publisher.stop()
        finally:
            await node.close()
    _report(report, seen, sent)
    report.details["odd"]["findings"] = [each["code"] for each in findings]


def _report(report: Report, seen: Watched, sent: dict[str, int]) -> None:
    memory, page = seen.memory, seen.page
    third = max(1, len(memory) // 3)
    start, middle, end = (
        sum(mib for _, mib in part) / len(part)
        for part in (memory[:third], memory[third : 2 * third], memory[2 * third :])
    )
    report.add(
        "an odd sample each few seconds",
        Figure("odd_sent", "odd samples", sum(sent.values()), ""),
        Figure("odd_stalls", f"stalls of more than {_STALL_MS / 1000:g} s", len(page["stalls"]), "", 0),
        Figure("odd_longest", "longest time between two pictures", page["longest"], "ms", _STALL_MS),
        Figure("odd_waits", "`waiting` of the video element", page["waits"], ""),
        Figure("odd_shown", "pictures shown", page["shown"], ""),
        Figure("odd_fallbacks", "paths other than live.mp4", len(seen.paths - {"live"}), "", 0),
        Figure("odd_rss_start", "RSS, mean of the first third", start, "MiB"),
        Figure("odd_rss_middle", "... second third", middle, "MiB"),
        Figure("odd_rss_end", "... last third", end, "MiB"),
        Figure("odd_rss_slope", "growth in the last two thirds", slope(memory[third:]) * 3600, "MiB/h"),
        Figure("odd_cpu", "CPU of the process", 100 * seen.usage.own if seen.usage else float("nan"), "% of a core"),
    )
    report.details["odd"] = {
        "sent": sent,
        "stalls": page["stalls"],
        "memory_mib": [round(mib, 1) for _, mib in memory[::15]],
    }


@click.command()
@click.option("--seconds", default=1200.0, show_default=True, help="Length of the measurement.")
@click.option("--every", "every_s", default=5.0, show_default=True, help="Seconds from one odd sample to the next.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the JSON here too.")
def main(seconds: float, every_s: float, json_path: Path | None) -> None:
    """Publish a good stream with odd samples, and count the stalls of a student."""
    console = Console(stderr=True)
    report = Report()
    with console.status("starts") as status:
        asyncio.run(run(seconds, every_s, report, status.update))
    report.publish(console, json_path)


if __name__ == "__main__":
    main()
