"""Durations, sizes and paths as people write them: ``300ms``, ``10m``, ``512KiB``, ``5MB``, plain numbers, ``~/x``."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_TIME_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_WITH_UNIT = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*$")


def parse_seconds(value: object) -> object:
    """Return ``0.3`` for ``"300ms"``. Anything that is not a number with a unit is returned unchanged."""
    if isinstance(value, str) and (match := _WITH_UNIT.match(value)):
        factor = _TIME_S.get(match[2].lower())
        if factor is None:
            raise ValueError(f"has an unknown unit of time {match[2]!r}; use ms, s, m, h or d")
        return float(match[1]) * factor
    return value


def parse_bytes(value: object) -> object:
    """Return ``5242880`` for ``"5MiB"``. Anything that is not a number with a unit is returned unchanged."""
    if isinstance(value, str) and (match := _WITH_UNIT.match(value)):
        factor = _SIZE.get(match[2].lower())
        if factor is None:
            raise ValueError(f"has an unknown unit of size {match[2]!r}; use B, KB, KiB, MB, MiB, GB or GiB")
        return int(Decimal(match[1]) * factor)
    return value


def expand_home(path: Path) -> Path:
    """Return the path with the home directory instead of a leading ``~``."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("starts with '~', and there is no such home directory; give the whole path") from error


Seconds = Annotated[float, BeforeValidator(parse_seconds, json_schema_input_type=float | str)]
ByteSize = Annotated[int, BeforeValidator(parse_bytes, json_schema_input_type=int | str)]
HomePath = Annotated[Path, AfterValidator(expand_home)]
