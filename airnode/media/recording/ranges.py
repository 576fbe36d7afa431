"""Byte ranges of a request (RFC 9110 section 14). No I/O."""

import re

from airnode.errors import AirnodeError

_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*\Z", re.ASCII)


class RangeNotSatisfiable(AirnodeError):
    """What was asked for lies behind the end; ``size`` is the length of the whole."""

    code, title, status = "range_not_satisfiable", "Range not satisfiable", 416

    def __init__(self, size: int) -> None:
        super().__init__(f"There are {size} bytes.")
        self.size = size


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """(start, stop) of what a Range header asks for; None: all of it, as for what is no single range of bytes.

    Raises:
        RangeNotSatisfiable: (416) there is nothing in it.
    """
    match = _ONE.match(header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, stop = max(size - int(match[2]), 0), size
    else:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return start, stop
