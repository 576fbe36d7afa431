"""Samples of two tracks, merged in the order of time."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.media.frames import AudioConfig, Frame, MediaEvent
from airnode.media.mediamtx.interleave import SILENT_90K, Interleaver

SILENT_MS = SILENT_90K // 90
CONFIG = AudioConfig(b"\x11\x90", "mp4a.40.2", 48000, 2)


def video(*times_ms: int) -> list[MediaEvent]:
    return [Frame("video", time_ms * 90, 0, b"v", True, 0.0) for time_ms in times_ms]


def audio(*times_ms: int) -> list[MediaEvent]:
    return [Frame("audio", time_ms * 90, 0, b"a", True, 0.0) for time_ms in times_ms]


def times_in_ms(events: list[MediaEvent]) -> list[int]:
    return [event.dts_90k // 90 for event in events if isinstance(event, Frame)]


def test_one_track_waits_for_the_other_and_both_are_released_in_order():
    interleaver = Interleaver({"video", "audio"})
    assert interleaver.add("video", video(0, 40, 80)) == []
    assert times_in_ms(interleaver.add("audio", audio(0, 20, 40))) == [0, 0, 20, 40, 40]
    assert times_in_ms(interleaver.add("audio", audio(60, 80, 100))) == [60, 80, 80]


def test_a_single_track_does_not_wait():
    assert times_in_ms(Interleaver({"video"}).add("video", video(0, 40))) == [0, 40]


def test_a_track_without_samples_delays_the_other_only_briefly():
    interleaver = Interleaver({"video", "audio"})
    assert interleaver.add("video", video(0)) == []
    assert times_in_ms(interleaver.add("video", video(SILENT_MS))) == [0, SILENT_MS]


def test_a_silent_track_does_not_delay_the_other():
    interleaver = Interleaver({"video", "audio"})
    interleaver.add("audio", audio(0))
    assert times_in_ms(interleaver.add("video", video(0, 100))) == [0, 0]
    assert times_in_ms(interleaver.add("video", video(SILENT_MS + 1))) == [100, SILENT_MS + 1]
    assert times_in_ms(interleaver.add("video", video(SILENT_MS + 50))) == [SILENT_MS + 50]
    assert times_in_ms(interleaver.add("audio", audio(SILENT_MS + 40))) == [SILENT_MS + 40]
    assert interleaver.add("video", video(SILENT_MS + 100)) == [], "its samples arrive again"


def test_a_configuration_is_released_before_the_samples_behind_it():
    interleaver = Interleaver({"video", "audio"})
    interleaver.add("audio", audio(0))
    interleaver.add("video", video(0))
    found = interleaver.add("audio", [CONFIG, *audio(20)])
    assert found == [CONFIG]
    assert times_in_ms(interleaver.add("video", video(40))) == [20]


def test_pending_samples_are_released_at_the_end():
    interleaver = Interleaver({"video", "audio"})
    interleaver.add("video", video(0, 40))
    assert times_in_ms(interleaver.flush()) == [0, 40]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=60))
def test_nothing_is_lost_and_each_track_keeps_its_order(steps: list[tuple[bool, int]]):
    interleaver = Interleaver({"video", "audio"})
    clocks, added, released = {True: 0, False: 0}, [], []
    for is_video, step_ms in steps:
        clocks[is_video] += step_ms
        events = video(clocks[is_video]) if is_video else audio(clocks[is_video])
        added += events
        released += interleaver.add("video" if is_video else "audio", events)
    released += interleaver.flush()
    for track in ("video", "audio"):
        assert [each for each in released if each.track == track] == [each for each in added if each.track == track]
