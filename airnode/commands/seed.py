"""The work of ``airnode seed``, and its output."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from airnode.config.model import Settings
from airnode.errors import Unavailable
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.cache.tables import TableName
from airnode.pipeline.seed.new_customers import WAITING_MOST, count_waiting, follow
from airnode.pipeline.seed.seeder import SeedResult, seed
from airnode.runtime.open_stores import open_stores
from airnode.runtime.resources import Resource
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres

_SHOW_EVERY_S = 1.0


async def run(settings: Settings, users: int, products: int, number: int, *, following: bool, as_json: bool) -> None:
    """Create the schema if there is none, fill the tables, and go on with new customers if asked.

    Raises:
        StartupError: there is no database. Unavailable, Conflict: see :func:`airnode.pipeline.seed.seeder.seed`.
    """
    console = Console(highlight=False)
    async with open_stores(settings, PIPELINE_ACCESS, Resource.POSTGRES) as stores:
        await migrate(stores.postgres)
        with _bars(console, hidden=as_json) as progress:
            filled = await seed(stores.postgres, users, products, number=number, progress=progress)
        if as_json:
            click.echo(msgspec.json.encode(_document(filled)))
        else:
            for table, facts in filled.items():
                console.print(_line(table, facts))
        if following:
            await _follow(stores.postgres, settings.pipeline.rate_per_s, number, console, as_json=as_json)


def _document(filled: dict[TableName, SeedResult]) -> dict[str, Any]:
    return {
        table: {"added": each.added, "there": each.total, "rows_per_s": round(each.rows_per_s)}
        for table, each in filled.items()
    }


def _line(table: TableName, filled: SeedResult) -> str:
    added = f"{filled.added:,} added" if filled.added else "nothing to add"
    speed = f", {filled.rows_per_s:,.0f} rows/s" if filled.added else ""
    return f"{table.capitalize():<9} {added}, {filled.total:,} there{speed}"


@contextlib.contextmanager
def _bars(console: Console, *, hidden: bool) -> Iterator[Any]:
    """Yield a progress display with one bar per table; it is visible only on a terminal."""
    columns = (TextColumn("{task.description:<9}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        tasks: dict[TableName, TaskID] = {}

        def report(table: TableName, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = progress.add_task(table.capitalize(), total=total)
            progress.update(tasks[table], completed=done)

        yield report


async def _follow(postgres: Postgres, rate_per_s: float, number: int, console: Console, *, as_json: bool) -> None:
    """Register customers until Ctrl+C or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    printer = _ProgressPrinter(postgres, console, as_json=as_json)
    if not as_json:
        pace = f"{rate_per_s:g} a second" if rate_per_s else "as fast as they can be written"
        console.print(f"New customers, {pace}; Ctrl+C ends it.")
    tasks = TaskScope("seed")
    with printer:
        rng = random.Random(number)  # noqa: S311 - names, not secrets
        following = tasks.spawn("follow", follow(postgres, rate_per_s, rng, printer.show))
        stopping = tasks.spawn("stop", stop.wait())
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
        await tasks.aclose()
    if not following.cancelled():
        following.result()


class _ProgressPrinter:
    """Rewrites one line on a terminal; prints a line each second elsewhere."""

    def __init__(self, postgres: Postgres, console: Console, *, as_json: bool) -> None:
        self._postgres = postgres
        self._console = console
        self._as_json = as_json
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
        self._shown_s = self._began_s = asyncio.get_running_loop().time()
        self._total, self._shown_total = 0, 0

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        if not self._as_json:
            self._console.print(f"{self._total:,} customers registered.")

    async def show(self, total: int, trouble: str) -> None:
        self._total = total
        now_s = asyncio.get_running_loop().time()
        if (passed_s := now_s - self._shown_s) < _SHOW_EVERY_S:
            return
        rate = (total - self._shown_total) / passed_s
        self._shown_s, self._shown_total = now_s, total
        count = None
        if not trouble:
            with contextlib.suppress(Unavailable):  # the next group reports it
                count = await count_waiting(self._postgres)
        if self._as_json:
            facts = {"registered": total, "per_s": round(rate, 1), "in_outbox": count, "trouble": trouble}
            click.echo(msgspec.json.encode(facts))
            return
        line = Text(
            f"registered {total:,} ({rate:,.1f}/s)" + _queue_text(count, trouble), style="red" if trouble else ""
        )
        if self._live is not None:
            self._live.update(line, refresh=True)
        else:
            self._console.print(line)


def _queue_text(count: int | None, trouble: str) -> str:
    if trouble:
        return f" · {trouble} Trying on."
    if not count:
        return " · all events published" if count == 0 else ""
    more = "more than " if count >= WAITING_MOST else ""
    return f" · {more}{count:,} {'event waits' if count == 1 else 'events wait'} for a producer"
