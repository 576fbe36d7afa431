"""Timestamps that stand still or run too fast are noticed once."""

import pytest

from airnode.media.cmaf.publisher_clock import PublisherClock
from airnode.media.frames import Frame

#: Of 16 frames, which is how often a clock is checked.
_STEP_MS = 200


def faults(*stamps_ms: tuple[float, float]) -> list[str]:
    """Return the faults that are found, for (time of arrival, timestamp) in milliseconds."""
    clock = PublisherClock()
    found = [
        clock.fault(Frame("video", round(stamp_ms * 90), 0, b"", True, 1e9 + at_ms / 1000))
        for at_ms, stamp_ms in stamps_ms
    ]
    return [fault for fault in found if fault]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (0, ["clock_stuck"]),
        (0.001, ["clock_stuck"]),
        (0.5, []),
        (1, []),
        (2, []),
        (90, ["clock_jumps"]),
        (1000, ["clock_jumps"]),
    ],
)
def test_a_clock_that_counts_in_another_unit(scale: float, expected: list[str]):
    assert faults(*((at_ms, at_ms * scale) for at_ms in range(0, 20_000, _STEP_MS))) == expected


def test_a_jump_is_no_fault():
    assert faults(*((at_ms, at_ms + 3_600_000 * (at_ms > 5_000)) for at_ms in range(0, 20_000, _STEP_MS))) == []


def test_a_network_that_catches_up_is_no_fault():
    # Five frames a second: 16 of them are 3.2 s. Nothing came for 15 s.
    assert faults(*((max(at_ms, 20_000) if at_ms > 5_000 else at_ms, at_ms) for at_ms in range(0, 60_000, 3_200))) == []
