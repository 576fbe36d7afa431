"""Run cases and print their results on the four outputs: ``python -m tests.encoders.table [NAME ...]``."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import aiohttp
import click
from playwright.async_api import Error as PlaywrightError

from tests.encoders.cases import all_cases
from tests.encoders.outputs import Result, run_case
from tests.encoders.watching import OUTPUTS, Screens
from tests.support.browser import chromium
from tests.support.node import AirnodeProcess

#: What stops one case, but not the others.
_FAILURES = (PlaywrightError, subprocess.CalledProcessError, AssertionError, aiohttp.ClientError, OSError)
NODE_ARGS = ("--set", "recording.mode=all", "--set", "hls.grace_s=1")


def line(result: Result) -> str:
    """Return one row: case, then each output as ``first picture / longest standstill`` in seconds."""
    cells = []
    for output in OUTPUTS:
        seen = result.seen.get(output)
        if seen is None:
            cells.append("refused" if result.case.refused else "-")
        else:
            first = "never" if seen.first_s is None else f"{seen.first_s:.1f}"
            cells.append(f"{'NO ' if seen.trouble else 'slow ' if seen.slow else ''}{first} / {seen.still_s:.1f}")
    said = ", ".join(result.said_in_studio)
    row = f"{result.case.kind:30} {result.name:28} " + " ".join(f"{cell:15}" for cell in cells) + f" {said}"
    remarks = "; ".join(filter(None, (result.trouble, result.slow)))
    return row.rstrip() + (f"\n    !! {remarks}" if remarks else "")


async def run(
    names: list[str], workers: int, outputs: tuple[str, ...], finished: Callable[[Result], None]
) -> tuple[list[Result], list[str]]:
    """Run the cases on a new node, ``workers`` at a time; call ``finished`` with each result.

    Returns:
        (the results, the names of the cases that could not be run).
    """
    cases = all_cases()
    todo = list(reversed(names))
    results: list[Result] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        node = AirnodeProcess(Path(folder) / "data", *NODE_ARGS)
        try:
            await node.start(60)
            async with chromium() as browser, aiohttp.ClientSession() as session:

                async def work() -> None:
                    async with Screens(browser, node["api_url"]) as screens:
                        while todo:
                            name = todo.pop()
                            try:
                                result = await run_case(node, screens, session, name, cases[name], only=outputs)
                            except _FAILURES as error:
                                click.echo(f"{name} could not be run: {error}", err=True)
                                failed.append(name)
                                continue
                            results.append(result)
                            finished(result)

                await asyncio.gather(*(work() for _ in range(workers)))
        finally:
            await node.close()
    order = {name: index for index, name in enumerate(names)}
    return sorted(results, key=lambda result: order[result.name]), failed


@click.command()
@click.argument("names", nargs=-1)
@click.option("--workers", default=3, show_default=True, help="Cases at the same time.")
@click.option("--output", "outputs", multiple=True, type=click.Choice(OUTPUTS), help="Only these outputs.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each case instead of the table.")
@click.option("--looks", is_flag=True, help="With --json: everything that was seen.")
def main(names: tuple[str, ...], workers: int, outputs: tuple[str, ...], as_json: bool, looks: bool) -> None:
    """Publish streams as unusual encoders send them, and watch the four outputs in Chromium.

    NAMES are names of cases or kinds; without NAMES, all cases run (about 30 minutes).
    """
    cases = all_cases()
    chosen = [name for name, case in cases.items() if not names or name in names or case.kind in names]

    def finished(result: Result) -> None:
        click.echo(line(result), err=True)
        if as_json:
            click.echo(json.dumps(as_fields(result, looks)))

    results, failed = asyncio.run(run(chosen, workers, outputs or OUTPUTS, finished))
    bad = [result for result in results if result.trouble or result.slow]
    if not as_json:
        click.echo(f"{'kind':30} {'case':28} " + " ".join(f"{output:15}" for output in OUTPUTS) + " said in the studio")
        for result in results:
            click.echo(line(result))
        click.echo(f"\n{len(results) - len(bad)} of {len(results)} cases came out as they must.")
    sys.exit(1 if bad or failed else 0)


def as_fields(result: Result, looks: bool) -> dict[str, object]:
    return {
        "case": result.name,
        "kind": result.case.kind,
        "trouble": result.trouble,
        "slow": result.slow,
        "studio": result.said_in_studio,
        "status": result.published.said,
        "outputs": {
            output: {
                "first_s": seen.first_s,
                "still_s": round(seen.still_s, 2),
                "trouble": seen.trouble,
                **({"looks": seen.looks} if looks else {}),
            }
            for output, seen in result.seen.items()
        },
    }


if __name__ == "__main__":
    main()
