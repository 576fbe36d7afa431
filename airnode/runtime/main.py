"""From names of roles and a configuration to a process with an exit code."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from airnode.errors import StartupError
from airnode.kernel import logging
from airnode.runtime.banner import banner
from airnode.runtime.node import Exit, Node
from airnode.runtime.registry import resolve

if TYPE_CHECKING:
    from airnode.config.loading import Loaded

log = structlog.get_logger(__name__)


def run(names: list[str], loaded: "Loaded") -> int:
    """Run the roles until a signal. Returns the exit code; what cannot start is one sentence on standard error."""
    settings = loaded.settings
    try:
        roles = resolve(names)
        logging.configure(settings.log.level, settings.log.format, {"role": ",".join(names)})
        for warning in loaded.warnings:
            log.warning("configuration_warning", detail=warning)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(Node(settings, roles, loaded.roles, _announce)))
    except StartupError as error:
        text = str(error)
        sys.stderr.write((text if text.startswith("airnode:") else f"airnode: {text}") + "\n")
        return Exit.CONFIG


async def _run(node: Node) -> int:
    return await node.run()


def _announce(endpoints: Mapping[str, object], data_dir: str) -> None:
    sys.stdout.write(banner(endpoints, data_dir))
    sys.stdout.flush()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
