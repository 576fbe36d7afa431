"""How publishers' clocks are mapped to the media timeline."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.media.cmaf.stats import PackagerStats
from airnode.media.cmaf.timeline import DRIFT_STEP_SAMPLES, JUMP_GAP_90K, START_90K, AudioClock, Timeline, WallClock
from airnode.media.frames import TrackKind

START_MS = START_90K // 90


class Tracks:
    """A timeline whose arguments and results are in milliseconds."""

    def __init__(self) -> None:
        self.timeline = Timeline()

    @property
    def head_ms(self) -> float:
        return self.timeline.head_90k / 90

    def video(self, dts_ms: int) -> tuple[float, bool]:
        return self._place("video", dts_ms)

    def audio(self, dts_ms: int) -> tuple[float, bool]:
        return self._place("audio", dts_ms)

    def _place(self, track: TrackKind, dts_ms: int) -> tuple[float, bool]:
        media_90k, jumped = self.timeline.place(track, dts_ms * 90)
        return media_90k / 90, jumped


def test_both_tracks_keep_their_time_difference():
    tracks = Tracks()
    assert tracks.video(5_000) == (START_MS, False)
    assert tracks.audio(5_012) == (START_MS + 12, False)
    assert tracks.video(5_033) == (START_MS + 33, False)
    assert tracks.audio(4_990) == (START_MS - 10, False)


def test_tracks_with_different_origins_begin_together():
    tracks = Tracks()
    tracks.video(0)
    tracks.video(40)
    assert tracks.audio(3_600_000) == (START_MS + 40, False)
    assert tracks.audio(3_600_021) == (START_MS + 61, False)


@pytest.mark.parametrize("jump_ms", [-3_600_000, -5_000, 4_000, 7_200_000])
def test_a_jump_of_both_tracks_is_one_discontinuity_and_keeps_them_in_sync(jump_ms):
    tracks = Tracks()
    for at in range(0, 1000, 20):
        tracks.video(4_000_000 + at)
        tracks.audio(4_000_000 + at + 7)
    head = tracks.head_ms
    video, jumped = tracks.video(4_001_000 + jump_ms)
    assert jumped
    assert video == head + JUMP_GAP_90K / 90
    audio, jumped = tracks.audio(4_001_007 + jump_ms)
    assert not jumped
    assert audio == video + 7


def test_a_slow_track_is_no_jump_while_the_other_continues():
    tracks = Tracks()
    tracks.video(0)
    for at in range(0, 9_000, 20):
        assert not tracks.audio(at)[1]
    assert tracks.video(8_990) == (START_MS + 8_990, False)


def test_a_new_publisher_continues_after_the_head():
    tracks = Tracks()
    tracks.video(0)
    tracks.video(500)
    tracks.timeline.rebase()
    assert tracks.video(123_456)[0] > START_MS + 500


def place_all(stamps_ms, rate=48000):
    stats = PackagerStats()
    clock = AudioClock(rate, 1024, stats)
    return [clock.place(stamp * 90) for stamp in stamps_ms], stats


def stamps(count, rate=48000, *, real_rate=None, start=10_000):
    return [start + int(index * 1024_000 / (real_rate or rate)) for index in range(count)]


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_audio_counts_exact_samples(rate):
    placed, stats = place_all(stamps(2000, rate), rate)
    first = placed[0][0]
    assert placed == [(first + index * 1024, 1024) for index in range(2000)]
    assert stats.audio_corrections == stats.audio_gaps == 0


@given(st.lists(st.integers(-25, 25), min_size=500, max_size=500))
def test_jitter_of_tens_of_milliseconds_makes_no_gap(jitter):
    placed, stats = place_all([at + off for at, off in zip(stamps(500), jitter, strict=True)])
    assert None not in placed
    assert stats.audio_gaps == 0
    assert all(abs(duration - 1024) <= DRIFT_STEP_SAMPLES for _, duration in placed)


@pytest.mark.parametrize("real_rate", [48000 * 0.9995, 48000 * 1.0005])
def test_drift_is_absorbed_without_gaps(real_rate):
    times = stamps(20_000, real_rate=real_rate)
    placed, stats = place_all(times)
    assert None not in placed
    assert stats.audio_gaps == 0
    assert stats.audio_corrections > 100
    off_ms = [time / 48 - at for (time, _), at in zip(placed, times, strict=True)]
    assert max(map(abs, off_ms)) < 20


def test_lost_audio_makes_a_gap_at_once():
    times = stamps(200)
    placed, stats = place_all(times[:100] + times[120:])
    assert stats.audio_gaps == 1
    assert placed[100][0] - placed[99][0] == pytest.approx(21 * 1024, abs=96)


def test_frames_with_one_timestamp_follow_each_other():
    stats = PackagerStats()
    clock = AudioClock(48_000, 1024, stats)
    placed = [clock.place(900_000 + group * 12 * 1920) for group in range(40) for _ in range(12)]
    assert [each[0] for each in placed if each is not None] == [480_000 + 1024 * number for number in range(480)]
    assert stats.dropped["audio_overlap"] == 0


def test_overlapping_audio_is_dropped():
    times = stamps(200)
    placed, stats = place_all(times[:100] + times[90:])
    assert placed.count(None) == stats.dropped["audio_overlap"] > 5


@given(st.lists(st.integers(-200, 400), min_size=1, max_size=300), st.sampled_from([8000, 44100, 48000]))
def test_decode_times_never_overlap(steps, rate):
    stamp, times = 10_000, []
    for step in steps:
        stamp = max(0, stamp + step)
        times.append(stamp)
    placed = [entry for entry in place_all(times, rate)[0] if entry is not None]
    assert all(a + duration <= b for (a, duration), (b, _) in itertools.pairwise(placed))
    assert all(duration > 0 for _, duration in placed)


def test_audio_does_not_begin_before_the_given_time():
    clock = AudioClock(48000, 1024, PackagerStats(), not_before_samples=10_500 * 48)
    assert clock.place(10_490 * 90) == (10_500 * 48, 1024)


def test_dates_follow_media_time_and_catch_up_when_late():
    clock = WallClock()
    assert clock.at(1000.0, 0) == 1000.0
    assert clock.at(1001.05, 1.0) == pytest.approx(1001.005)
    assert clock.at(1001.95, 1.0) == pytest.approx(1001.9995, abs=0.01)
    assert clock.at(1030.0, 1.0) == 1030.0
    assert clock.at(1010.0, 1.0) > 1029.9


@pytest.mark.parametrize("tracks", [1, 2])
def test_a_pause_is_no_jump(tracks: int):
    timeline = Timeline()
    for track in ("video", "audio")[:tracks]:
        timeline.place(track, 0, 0)
    media_90k, jumped = timeline.place("video", 3 * 90_000, 3 * 90_000)
    assert not jumped
    # Viewers of two tracks do not wait for its length; with one track the picture stands still.
    assert media_90k - START_90K == (3 * 90_000 if tracks == 1 else JUMP_GAP_90K)
    assert timeline.place("video", 40 * 90_000, 40 * 90_000)[1] is False


def test_a_jump_of_the_clock_is_one_after_a_pause_too():
    timeline = Timeline()
    timeline.place("video", 0, 0)
    assert timeline.place("video", 60 * 90_000, 3 * 90_000)[1]
