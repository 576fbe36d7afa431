"""structlog for our own events and the libraries' alike: console on a terminal, JSON otherwise, on standard error."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

#: aiokafka's debug log has every request in it, the passwords that it signs in with too.
_LIBRARIES_AT_WARNING = ("aiohttp.access", "aiohttp.server", "aiohttp.web", "aiokafka", "asyncio", "asyncpg")


def configure(level: str, form: str, bound: Mapping[str, object]) -> None:
    """Set up logging for this process.

    Args:
        form: ``console``, ``json`` or ``auto``.
        bound: fields that stand on every line, such as ``role``.
    """
    json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if json else structlog.processors.TimeStamper("%H:%M:%S"),
    ]
    if json:
        shared += [_bind(bound), structlog.processors.format_exc_info]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_dumps) if json else structlog.dev.ConsoleRenderer(pad_event_to=26)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LIBRARIES_AT_WARNING:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _bind(bound: Mapping[str, object]) -> Any:
    def add(logger: object, method: str, event: dict[str, object]) -> dict[str, object]:
        for key, value in bound.items():
            event.setdefault(key, value)
        return event

    return add


def _dumps(value: Any, default: Any = None, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
