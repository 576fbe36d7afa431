"""Two tracks that come apart, in one order of time."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.media.frames import AudioConfig, Frame, MediaEvent
from airnode.media.mediamtx.interleave import SILENT_90K, Interleaver

SILENT_MS = SILENT_90K // 90
CONFIG = AudioConfig(b"\x11\x90", "mp4a.40.2", 48000, 2)


def video(*times_ms: int) -> list[MediaEvent]:
    return [Frame("video", time * 90, 0, b"v", True, 0.0) for time in times_ms]


def audio(*times_ms: int) -> list[MediaEvent]:
    return [Frame("audio", time * 90, 0, b"a", True, 0.0) for time in times_ms]


def times(events: list[MediaEvent]) -> list[int]:
    return [event.dts_90k // 90 for event in events if isinstance(event, Frame)]


def test_one_track_waits_for_the_other_and_both_come_in_order():
    together = Interleaver({"video", "audio"})
    assert together.add("video", video(0, 40, 80)) == []
    assert times(together.add("audio", audio(0, 20, 40))) == [0, 0, 20, 40, 40]
    assert times(together.add("audio", audio(60, 80, 100))) == [60, 80, 80]


def test_a_track_alone_waits_for_nobody():
    assert times(Interleaver({"video"}).add("video", video(0, 40))) == [0, 40]


def test_a_track_that_never_comes_is_not_waited_for_long():
    together = Interleaver({"video", "audio"})
    assert together.add("video", video(0)) == []
    assert times(together.add("video", video(SILENT_MS))) == [0, SILENT_MS]


def test_a_track_that_falls_silent_holds_the_other_up_no_longer():
    together = Interleaver({"video", "audio"})
    together.add("audio", audio(0))
    assert times(together.add("video", video(0, 100))) == [0, 0]
    assert times(together.add("video", video(SILENT_MS + 1))) == [100, SILENT_MS + 1]
    assert times(together.add("video", video(SILENT_MS + 50))) == [SILENT_MS + 50]
    assert times(together.add("audio", audio(SILENT_MS + 40))) == [SILENT_MS + 40]
    assert together.add("video", video(SILENT_MS + 100)) == [], "it is heard again"


def test_a_configuration_comes_before_the_samples_behind_it():
    together = Interleaver({"video", "audio"})
    together.add("audio", audio(0))
    together.add("video", video(0))
    found = together.add("audio", [CONFIG, *audio(20)])
    assert found == [CONFIG]
    assert times(together.add("video", video(40))) == [20]


def test_what_is_held_back_is_given_out_at_the_end():
    together = Interleaver({"video", "audio"})
    together.add("video", video(0, 40))
    assert times(together.flush()) == [0, 40]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=60))
def test_nothing_is_lost_and_each_track_keeps_its_order(steps: list[tuple[bool, int]]):
    together = Interleaver({"video", "audio"})
    clocks, given_in, came = {True: 0, False: 0}, [], []
    for is_video, step_ms in steps:
        clocks[is_video] += step_ms
        events = video(clocks[is_video]) if is_video else audio(clocks[is_video])
        given_in += events
        came += together.add("video" if is_video else "audio", events)
    came += together.flush()
    for track in ("video", "audio"):
        assert [each for each in came if each.track == track] == [each for each in given_in if each.track == track]
