"""Timestamps that stand still, or run at another speed than time, are noticed once."""

from collections.abc import Callable

import pytest

from airnode.media.cmaf.publisher_clock import PublisherClock
from airnode.media.frames import AudioConfig, Frame

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


SOUND = AudioConfig(b"", "mp4a.40.2", 48_000, 2)


def sound_faults(*timed_ms: tuple[float, float]) -> list[str]:
    """Return the faults of frames of sound, for (time of arrival, timestamp) in milliseconds."""
    clock = PublisherClock()
    found = [
        clock.fault(Frame("audio", round(stamp_ms * 90), 0, b"", True, 1e9 + at_ms / 1000), SOUND)
        for at_ms, stamp_ms in timed_ms
    ]
    return [fault for fault in found if fault]


#: When each of 12 s of frames is sent.
SENT_MS = [number * 1024 / 48 for number in range(562)]


@pytest.mark.parametrize("speed", [0.3, 0.5, 0.7, 1.5, 2, 3])
def test_a_clock_at_another_speed_than_its_sound(speed: float):
    assert sound_faults(*((at_ms, at_ms * speed) for at_ms in SENT_MS)) == ["clock_speed"]
    assert sound_faults(*((at_ms, at_ms * speed) for at_ms in SENT_MS[:200])) == ["clock_speed"]


@pytest.mark.parametrize(
    "arrival",
    [
        lambda at_ms: at_ms * 1.05,
        lambda at_ms: at_ms * 1.8,
        lambda at_ms: at_ms * 0.5,
        lambda at_ms: at_ms // 2_000 * 2_000,
        lambda at_ms: max(at_ms, 9_000),
        lambda at_ms: at_ms if at_ms < 3_000 else at_ms + (at_ms - 3_000) * 0.9,
    ],
    ids=["drift", "slow network", "sent too fast", "bursts", "held up", "congestion"],
)
def test_a_network_that_is_not_even_is_no_other_speed(arrival: Callable[[float], float]):
    assert sound_faults(*((arrival(at_ms), at_ms) for at_ms in SENT_MS)) == []


def test_sound_that_is_lost_or_jumps_is_no_other_speed():
    assert sound_faults(*((at_ms, at_ms) for at_ms in SENT_MS if at_ms % 4_000 > 1_500)) == []
    assert sound_faults(*((at_ms, at_ms + at_ms // 3_000 * 5_000) for at_ms in SENT_MS)) == []


def test_another_unit_is_noticed_within_a_few_frames():
    assert sound_faults(*((at_ms, at_ms * 90) for at_ms in SENT_MS[:3])) == ["clock_jumps"]
    for unit in (48, 90):
        assert faults(*((at_ms, at_ms * unit) for at_ms in range(0, 100, 33))) == ["clock_jumps"]
