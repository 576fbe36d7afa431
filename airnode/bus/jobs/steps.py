"""What follows an attempt, without I/O."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from airnode.bus.jobs.errors import JobCancelled, PermanentError
from airnode.bus.jobs.records import Json
from airnode.errors import AirnodeError

_REASON_MAX = 2000
_TRACEBACK_MAX = 20_000


class StopReason(enum.Enum):
    """Why an attempt is ended before its handler returns."""

    CANCELLED = enum.auto()  # somebody cancelled the job
    TIMED_OUT = enum.auto()  # it took longer than its ``timeout_s``
    LOST = enum.auto()  # another worker may have it: our lock has expired
    RETURNED = enum.auto()  # this worker stops, and gives the job back


@dataclass(frozen=True, slots=True)
class Complete:
    """The job has its result."""

    result: Json


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The job is tried again after ``delay_ms``."""

    delay_ms: int
    reason: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The job fails for good."""

    reason: str
    traceback: str = ""
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The job goes back to the front of its queue, and the attempt does not count."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing: another worker has the job."""


Step: TypeAlias = Complete | RetryLater | Fail | GiveBack | Leave


@dataclass(frozen=True, slots=True)
class HandlerEnd:
    """How a handler ended. Without an error and ``unfinished`` it returned ``result``.

    Attributes:
        unfinished: it was cancelled before it returned, or does not end at all.
    """

    result: Json = None
    error: Exception | None = None
    traceback: str = ""
    unfinished: bool = False


def next_step(
    end: HandlerEnd, stop: StopReason | None, *, attempt: int, attempts: int, backoff_ms: int, timeout_s: float
) -> Step:
    """Return what to do with a job whose handler has ended.

    Args:
        stop: why the handler was told to end; None: nobody told it to.
        attempt: number of this attempt, from 1. attempts: how many there may be.
        backoff_ms: pause after the first attempt; it doubles with each further one.
        timeout_s: time limit of an attempt, for the message.
    """
    if stop is StopReason.LOST:
        return Leave()
    if stop is StopReason.CANCELLED:
        return Fail("cancelled", cancelled=True)
    returned = end.error is None and not end.unfinished
    if returned:
        return Complete(end.result)
    if stop is StopReason.RETURNED and (end.unfinished or isinstance(end.error, JobCancelled)):
        return GiveBack()
    timed_out = stop is StopReason.TIMED_OUT
    reason = f"The attempt took longer than {timeout_s:g} s." if timed_out else reason_of(end.error)
    text = end.traceback[-_TRACEBACK_MAX:]
    if attempt >= attempts or (isinstance(end.error, PermanentError) and not timed_out):
        return Fail(reason, text)
    return RetryLater(backoff_ms * 2 ** (attempt - 1), reason, text)


def reason_of(error: Exception | None) -> str:
    """Return the sentence that a record shows for an error."""
    if error is None:
        return "The handler ended without a result."
    text = str(error) if isinstance(error, AirnodeError) else f"{type(error).__name__}: {error}"
    return text[:_REASON_MAX].encode(errors="replace").decode()
