"""Byte ranges of a request (RFC 9110 section 14). No I/O."""

import re

from airnode.errors import AirnodeError

_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*\Z", re.ASCII)


class RangeNotSatisfiable(AirnodeError):
    """The requested range begins after the end (RFC 9110 15.5.17); ``size`` is the length of the whole, in bytes."""

    code, title, status = "range_not_satisfiable", "Range not satisfiable", 416

    def __init__(self, size: int) -> None:
        super().__init__(f"There are {size} bytes.")
        self.size = size


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return (start, stop) of the range in a Range header, in bytes.

    None: send the whole, as for a header that is not a single range of bytes (RFC 9110 14.2).

    Raises:
        RangeNotSatisfiable: (416) no byte of it exists.
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
