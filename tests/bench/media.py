"""``python -m tests.bench.media``: latency, load, memory and start of the media path, against the targets."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from rich.console import Console

from tests.bench.bench import Bench
from tests.bench.capacity import soak, streams, viewers
from tests.bench.peer import peer
from tests.bench.playback import join, latency
from tests.bench.report import Report, Skipped
from tests.bench.samples import samples
from tests.bench.source import bench_clip
from tests.bench.starting import start
from tests.support.browser import chromium_path

Scenario = Callable[[Bench], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {
    "latency": latency,
    "join": join,
    "streams": streams,
    "viewers": viewers,
    "soak": soak,
    "start": start,
    "peer": peer,
    "samples": samples,
}
_NEED_CHROMIUM = {"latency", "join"}
#: Longest run of a scenario, in seconds, besides the times in its options.
_BOUND_S = 300.0
_KEPT = Path("bench-results")

_EPILOG = """\b
Scenarios:
  latency  ingest to screen in Chromium, 200 and 100 ms parts
  join     time to the first frame, 10 fresh pages
  streams  CPU and memory a stream (1 and 10)
  viewers  150 low-latency viewers: CPU, errors, fetch times, memory
  soak     1 stream and 20 viewers: does anything grow?
  start    time to ready, idle memory
  peer     CPU a request against nginx, where it is installed
  samples  time to examine a picture and an audio frame
\b
Examples:
  python -m tests.bench.media
  python -m tests.bench.media --only latency,join
  python -m tests.bench.media --only viewers --seconds 60 --json bench-results/viewers.json
  make bench-media ARGS="--soak-minutes 20"
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", metavar="NAME[,NAME…]", default="", help="Run these scenarios only.")
@click.option(
    "--seconds", type=click.FloatRange(5, 60), default=20.0, show_default=True, help="Length of each measurement."
)
@click.option(
    "--soak-minutes", type=click.FloatRange(0.2, 24 * 60), default=2.0, show_default=True, help="Length of the soak."
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here too.")
def main(only: str, seconds: float, soak_minutes: float, json_path: Path | None) -> None:
    """Measure airnode's media path on this machine.

    Prints progress and a table on standard error, and one JSON document as the last line on standard output. Exit code
    1 if a scenario could not be run; slow figures never fail it.
    """
    names = _chosen(only)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 110)
    console.print("preparing the clip", highlight=False)
    clip = bench_clip(_KEPT)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="airnode-bench-", ignore_cleanup_errors=True) as work:
        bench = Bench(seconds, soak_minutes, clip, Path(work), report, console)
        asyncio.run(_run(bench, names))
    report.publish(console, json_path)
    sys.exit(1 if report.failed else 0)


def _chosen(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in SCENARIOS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(SCENARIOS)}.", param_hint="--only")
    return names or list(SCENARIOS)


async def _run(bench: Bench, names: list[str]) -> None:
    for name in names:
        bench.console.rule(f"{name}", align="left")
        await _one(bench, name)


async def _one(bench: Bench, name: str) -> None:
    """Run a scenario; if it fails, the figures of the others are kept."""
    if name in _NEED_CHROMIUM and chromium_path() is None:
        bench.report.missing[name] = "skipped: Chromium is not installed (tests/system-packages installs it)"
        return
    bound_s = _BOUND_S + 6 * bench.seconds + (bench.soak_minutes * 60 if name == "soak" else 0)
    try:
        async with asyncio.timeout(bound_s):
            await SCENARIOS[name](bench)
    except Skipped as why:
        bench.report.missing[name] = f"skipped: {why}"
    except Exception as error:  # noqa: BLE001 - the boundary between scenarios
        bench.console.print_exception(suppress=[asyncio])
        bench.report.missing[name] = f"failed: {type(error).__name__}: {str(error)[:300]}"
        bench.report.failed = True


if __name__ == "__main__":
    main()
