"""What follows an attempt."""

import pytest

from airnode.bus.jobs.errors import JobCancelled, PermanentError
from airnode.bus.jobs.steps import (
    Complete,
    Fail,
    GiveBack,
    HandlerEnd,
    Leave,
    RetryLater,
    StopReason,
    next_step,
    reason_of,
)

DONE, BROKEN, UNFINISHED = (
    HandlerEnd(1),
    HandlerEnd(error=ValueError("no"), traceback="tb"),
    HandlerEnd(unfinished=True),
)
GAVE_UP, FOR_GOOD = HandlerEnd(error=JobCancelled(), traceback="tb"), HandlerEnd(error=PermanentError("never"))


def step(end: HandlerEnd, stop: StopReason | None = None, attempt: int = 1):
    return next_step(end, stop, attempt=attempt, attempts=3, backoff_ms=2000, timeout_s=5)


@pytest.mark.parametrize(
    ("end", "stop", "expected"),
    [
        (DONE, None, Complete(1)),
        (DONE, StopReason.TIMED_OUT, Complete(1)),
        (DONE, StopReason.RETURNED, Complete(1)),
        (DONE, StopReason.CANCELLED, Fail("cancelled", cancelled=True)),
        (DONE, StopReason.LOST, Leave()),
        (BROKEN, None, RetryLater(2000, "ValueError: no", "tb")),
        (BROKEN, StopReason.RETURNED, RetryLater(2000, "ValueError: no", "tb")),
        (BROKEN, StopReason.CANCELLED, Fail("cancelled", cancelled=True)),
        (FOR_GOOD, None, Fail("never")),
        (UNFINISHED, StopReason.RETURNED, GiveBack()),
        (GAVE_UP, StopReason.RETURNED, GiveBack()),
        (UNFINISHED, StopReason.LOST, Leave()),
        (UNFINISHED, StopReason.TIMED_OUT, RetryLater(2000, "The attempt took longer than 5 s.", "")),
        (GAVE_UP, StopReason.TIMED_OUT, RetryLater(2000, "The attempt took longer than 5 s.", "tb")),
        (UNFINISHED, None, RetryLater(2000, "The handler ended without a result.", "")),
    ],
)
def test_what_follows_the_first_of_three_attempts(end, stop, expected):
    assert step(end, stop) == expected


def test_pauses_double_until_the_last_attempt_fails_the_job():
    assert [step(BROKEN, attempt=each) for each in (1, 2, 3)] == [
        RetryLater(2000, "ValueError: no", "tb"),
        RetryLater(4000, "ValueError: no", "tb"),
        Fail("ValueError: no", "tb"),
    ]


def test_a_reason_is_short_and_can_be_written():
    assert len(reason_of(ValueError("x" * 5000))) == 2000
    assert reason_of(ValueError("\ud800")) == "ValueError: ?"
