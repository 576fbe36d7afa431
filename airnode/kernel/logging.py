"""structlog for our own events and the libraries' alike: console on a terminal, JSON otherwise, on standard error."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog

#: aiokafka's debug log has every request in it, the passwords that it signs in with too.
_LIBRARIES_AT_WARNING = ("aiohttp.access", "aiohttp.server", "aiohttp.web", "aiokafka", "asyncio", "asyncpg")

#: It says ten times a second, for each partition and group, that a broker is away.
_REPEATS_ITSELF = "aiokafka"
_MOST_LINES = 500


class Sparing(logging.Filter):
    """Lets a line of a library through once in a while, with the number of those like it that it kept back.

    Args:
        library: name of its logger; those of others pass.
        every_s: the least time between two lines that are the same.
    """

    def __init__(self, library: str, every_s: float = 30.0, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._every_s = every_s
        self._now_s = now_s
        #: {line: (when it was let through last, how many were kept back since)}; begun anew when there are too many.
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be logged."""
        if not super().filter(record):
            return True
        line, now_s = record.getMessage(), self._now_s()
        last_s, kept_back = self._seen.get(line, (float("-inf"), 0))
        if now_s - last_s < self._every_s:
            self._seen[line] = (last_s, kept_back + 1)
            return False
        if len(self._seen) >= _MOST_LINES:
            self._seen.clear()
        self._seen[line] = (now_s, 0)
        if kept_back:
            record.msg, record.args = f"{line} ({kept_back} more like it meanwhile)", ()
        return True


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
    handler.addFilter(Sparing(_REPEATS_ITSELF))
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
