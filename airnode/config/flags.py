"""Values from the command line. This module must not import pydantic: ``airnode --help`` imports it."""

import re
from dataclasses import dataclass

from airnode.config.problems import ConfigProblem, config_error

_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class Flag:
    """A value with its option, such as ``--port``."""

    value: object
    option: str


def parse_set(text: str) -> tuple[str, str]:
    """Return the key and the value of ``section.key=value``. The value stays text and may contain ``=``.

    Raises:
        ConfigError: there is no ``=``, or no dotted key before it. Its text does not contain the value.
    """
    key, equals, value = text.partition("=")
    if equals and _KEY.fullmatch(key.strip()):
        return key.strip(), value
    match = _KEY.match(text)
    about = match[0] if match else ""
    need = "needs key=value, such as --set hls.segment_count=5"
    if equals and not match:
        need = "needs a key with its section, such as --set hls.segment_count=5"
        about = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else ""
    raise config_error([ConfigProblem("--set", need, repr(about) if about else "")])
