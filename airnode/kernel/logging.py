"""The log of airnode and its libraries, through structlog, on standard error: text on a terminal, else JSON."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog

#: aiokafka's debug log contains every request, including the passwords that it signs in with.
_LIBRARIES_AT_WARNING = ("aiohttp.access", "aiohttp.server", "aiohttp.web", "aiokafka", "asyncio", "asyncpg")

#: While a broker is unreachable, aiokafka logs that ten times a second for each partition and group.
_NOISY_LIBRARY = "aiokafka"


class LogLimiter:
    """Limits how often a line is logged, and counts the lines that were held back.

    Args:
        every_s: the shortest time between two lines of one key.
        keys_max: at this number of keys all state is dropped. This bounds memory when keys come from outside.
        now_s: the clock, monotonic seconds.
    """

    def __init__(self, every_s: float, *, keys_max: int = 500, now_s: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._keys_max = keys_max
        self._now_s = now_s
        #: {key: (when it was logged last, lines held back since)}.
        self._seen: dict[str, tuple[float, int]] = {}

    def held_back(self, key: str = "", now_s: float | None = None) -> int | None:
        """Return how many lines were held back since the last one; None: this line must be held back too."""
        now_s = self._now_s() if now_s is None else now_s
        logged_s, count = self._seen.get(key, (float("-inf"), 0))
        if now_s - logged_s < self._every_s:
            self._seen[key] = (logged_s, count + 1)
            return None
        if len(self._seen) >= self._keys_max:
            self._seen.clear()
        self._seen[key] = (now_s, 0)
        return count


class RepeatFilter(logging.Filter):
    """Logs a line of a library once in ``every_s``, with the number of equal lines that were held back.

    Args:
        library: name of its logger; lines of other loggers are not filtered.
    """

    def __init__(self, library: str, every_s: float = 30.0, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._limiter = LogLimiter(every_s, now_s=now_s)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        if not super().filter(record):
            return True
        line = record.getMessage()
        held_back = self._limiter.held_back(line)
        if held_back is None:
            return False
        if held_back:
            record.msg, record.args = f"{line} ({held_back} more like it meanwhile)", ()
        return True


def configure(level: str, form: str, bound: Mapping[str, object]) -> None:
    """Set up logging for this process.

    Args:
        form: ``console``, ``json`` or ``auto``.
        bound: fields that every line contains, such as ``role``.
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
    handler.addFilter(RepeatFilter(_NOISY_LIBRARY))
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
