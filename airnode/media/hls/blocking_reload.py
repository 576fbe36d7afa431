"""Blocking playlist reload (draft-pantos-hls-rfc8216bis 6.2.5.2): what to do with a request.

Origins and edges decide alike.
"""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer with the current playlist."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Hold the request until the window changes, and ask again."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """Answer 400; ``detail`` says why."""

    detail: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where the end of a playlist is.

    Attributes:
        next_msn: media sequence number of the open segment, or of the next one.
        open_parts: parts of the open segment.
        last_parts: parts of the last finished segment; None: it is a gap, or there is none.
        blocks: false: every request is answered at once (the stream has ended, or is plain HLS).
    """

    next_msn: int
    open_parts: int
    last_parts: int | None
    part_target_s: float
    blocks: bool


def resolve_reload(position: Position | None, msn: int | None, part: int | None) -> Ready | Wait | BadRequest:
    """Decide on a request with ``_HLS_msn`` and ``_HLS_part``; no position: there is no playlist yet.

    A segment older than the window is answered at once: the draft asks for "that segment or a later one", and a
    laptop that slept does ask. A part beyond the end of its segment is part 0 of the next one.
    """
    if part is not None and msn is None:
        return BadRequest("_HLS_part needs _HLS_msn")
    if msn is not None and (msn < 0 or (part or 0) < 0):
        return BadRequest("_HLS_msn and _HLS_part are numbers from 0 on")
    if position is None:
        return Wait()
    if msn is None or not position.blocks:
        return Ready()
    return _resolve(position, msn, part)


def _resolve(at: Position, msn: int, part: int | None) -> Ready | Wait | BadRequest:
    last = at.next_msn - 1
    newest = at.next_msn if at.open_parts else last
    if msn > newest + 2:
        return BadRequest(f"_HLS_msn {msn} is too far: the last segment is {newest}")
    if part is not None and msn > last and part >= (at.open_parts if msn == newest else 0) + _advance_limit(at):
        return BadRequest(f"_HLS_part {part} is too far")
    if msn < last or (msn == last and (part is None or at.last_parts is None or part < at.last_parts)):
        return Ready()
    if part is None or msn > at.next_msn:
        return Wait()
    # A part beyond the end of the last finished segment is part 0 of the open one.
    wanted = part if msn == at.next_msn else 0
    return Ready() if wanted < at.open_parts else Wait()


def _advance_limit(at: Position) -> int:
    """How many parts ahead a client may ask (the Advance Part Limit)."""
    return ceil(3 / at.part_target_s) if 0 < at.part_target_s < 1 else 3
