"""``airnode cache-monitor``: reads the state of the cache repeatedly and shows it on one line."""

import asyncio
import contextlib
import signal
from datetime import datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from airnode.bus.client import Bus, unavailable
from airnode.commands.cache_line import CacheState
from airnode.config.model import Settings
from airnode.errors import Unavailable
from airnode.pipeline import keys
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.runtime.open_stores import open_stores
from airnode.runtime.resources import Resource

_READ_TIMEOUT_S = 3.0


async def read_state(bus: Bus) -> CacheState:
    """Return the state, read once. Raises Unavailable (503) if Redis does not answer."""
    with unavailable(f"Redis at {bus.address} does not answer."):
        async with asyncio.timeout(_READ_TIMEOUT_S), bus.client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.info("memory")
            pipeline.info("stats")
            pipeline.hlen(keys.cache("users"))
            pipeline.hlen(keys.cache("products"))
            pipeline.hgetall(keys.cache_stats())
            (seconds, micros), memory, stats, users, products, fields = await pipeline.execute()
    return CacheState(
        taken_at=int(seconds) + int(micros) / 1e6,
        used_memory_bytes=int(memory["used_memory"]),
        used_memory_human=str(memory["used_memory_human"]),
        ops_per_s=int(stats["instantaneous_ops_per_sec"]),
        users=users,
        products=products,
        stats={_text(key): _text(value) for key, value in fields.items()},
    )


async def run(settings: Settings, interval_s: float, *, once: bool, as_json: bool) -> int:
    """Show the cache until Ctrl+C; return the exit code.

    Raises:
        StartupError: there is no Redis.
    """
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with open_stores(settings, PIPELINE_ACCESS, Resource.REDIS) as stores:
        with _Screen(as_json=as_json, rewriting=not once) as screen:
            while True:
                try:
                    screen.show(await read_state(stores.bus))
                except Unavailable as error:
                    screen.complain(error.detail)
                    if once:
                        return 1
                if once:
                    return 0
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), interval_s)
                if stop.is_set():
                    return 0


class _Screen:
    """Rewrites one line on a terminal; prints new lines elsewhere."""

    def __init__(self, *, as_json: bool, rewriting: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False)
        live = rewriting and self._console.is_terminal and not as_json
        self._live = Live(console=self._console, auto_refresh=False) if live else None

    def __enter__(self) -> "_Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, seen: CacheState) -> None:
        if self._as_json:
            self._say(seen.document())
            return
        line = Text(seen.line(datetime.now()))
        line.highlight_regex(r"(?<=s )#+", "green")
        if seen.document()["late"]:
            line.highlight_regex(r"\d+/[\d.e+]+s", "red")
        self._put(line)

    def complain(self, detail: str) -> None:
        if self._as_json:
            self._say({"error": detail})
        else:
            self._put(Text(f"[{datetime.now():%H:%M:%S}] {detail}", style="red"))

    def _put(self, line: Text) -> None:
        if self._live is not None:
            self._live.update(line, refresh=True)
        else:
            click.echo(line.plain)

    def _say(self, document: dict[str, Any]) -> None:
        click.echo(msgspec.json.encode(document))


def _text(data: bytes | str) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data
