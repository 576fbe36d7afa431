"""Runs roles in a process, from their names and the configuration to the exit code."""

import asyncio
import gc
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from airnode.errors import StartupError
from airnode.kernel import logging
from airnode.runtime.node import Exit, Node
from airnode.runtime.registry import accesses, resolve

if TYPE_CHECKING:
    from airnode.config.loading import Loaded

log = structlog.get_logger(__name__)

#: New objects before the youngest are looked at: a frame makes dozens, which die by their reference counts.
_YOUNG_OBJECTS = 10_000

#: (field of endpoints.json, its label), in the order of use.
_BANNER_LINES = (
    ("studio_url", "Studio (teacher)"),
    ("rtmp_server", "Encoder: server"),
    ("stream_key", "Encoder: stream key"),
    ("rtmp_url", "ffmpeg -f flv"),
    ("srt_url", "Encoder: SRT"),
    ("rtsp_url", "Encoder: RTSP"),
    ("whip_url", "Encoder: WHIP"),
    ("class_url", "Class (students)"),
    ("class_code", "Class code"),
    ("network_url", "On your network"),
    ("join_command", "Join slaves"),
    ("admin_url", "Admin"),
    ("metrics_url", "Pipeline: metrics"),
    ("cache_monitor", "Pipeline: cache"),
)


def run(names: list[str], loaded: "Loaded") -> int:
    """Run the roles until a signal and return the exit code. An error at the start is printed to standard error."""
    settings = loaded.settings
    try:
        roles = resolve(names)
        logging.configure(settings.log.level, settings.log.format, {"role": ",".join(names)})
        for warning in loaded.warnings:
            log.warning("configuration_warning", detail=warning)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(Node(settings, roles, loaded.roles, accesses(), _on_ready)))
    except StartupError as error:
        text = str(error)
        sys.stderr.write((text if text.startswith("airnode:") else f"airnode: {text}") + "\n")
        return Exit.CONFIG


async def _run(node: Node) -> int:
    return await node.run()


def _on_ready(endpoints: Mapping[str, object], data_dir: str) -> None:
    sys.stdout.write(banner(endpoints, data_dir))
    sys.stdout.flush()
    _shorten_collections()


def _shorten_collections() -> None:
    """Keep garbage collection from stopping the media for long.

    A full collection visits every object: the 90,000 of the imported modules took 130 ms, and no part
    is sent meanwhile. They live as long as the process, so the collector need not look at them again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def banner(endpoints: Mapping[str, object], data_dir: str) -> str:
    """Return what a ready node prints: the addresses to open, between blank lines."""
    lines = [(label, str(endpoints[field])) for field, label in _BANNER_LINES if endpoints.get(field)]
    if not lines:
        lines = [("API", str(endpoints.get("api_url", "")))]
    lines.append(("Data", data_dir))
    width = max(len(label) for label, _ in lines)
    body = "\n".join(f"  {label.ljust(width)}  {value}" for label, value in lines)
    return f"\nairnode is ready. Ctrl+C stops it.\n\n{body}\n\n"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's factory if it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
