"""Tracks, periods and publishers that misbehave."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig, StreamMetadata, VideoConfig
from airnode.media.room.key_frame_wait import FIRST_KEY_WAIT_S, KEY_FRAME_WAIT_S, KeyFrameMissing
from tests.support import bmff
from tests.support.hls import read_multivariant
from tests.support.publisher import (
    AUDIO,
    VIDEO,
    Recorder,
    audio,
    audio_frame,
    interleave,
    monotonic,
    video,
    video_frame,
)

OTHER_VIDEO = VideoConfig("avc", VIDEO.record + b"\0", "avc1.64001f", 1280, 720)
OTHER_AUDIO = AudioConfig(b"\x12\x10", "mp4a.40.2", 44100, 2)


def tracks_of(init):
    return len(bmff.root(init).all("moov/trak"))


def moved(timed, by_s, by_ms):
    """The same samples later, with other timestamps."""
    for at, event in timed:
        yield at + by_s, replace(event, dts_90k=event.dts_90k + by_ms * 90)


def test_the_multivariant_playlist_declares_what_was_sent():
    recorder = Recorder().configure(VIDEO, AUDIO).push(interleave(video(30, 10, size=8000), audio(10, size=340)))
    found, uri = read_multivariant(recorder.window.multivariant_playlist())
    assert uri == recorder.window.media_uri
    assert (found["CODECS"], found["RESOLUTION"]) == ("avc1.42c01e,mp4a.40.2", "640x360")
    real_bps = 30 * 8000 * 8 + 340 * 8 * 48000 / 1024
    assert int(found["AVERAGE-BANDWIDTH"]) == pytest.approx(real_bps, rel=0.03)
    assert recorder.packager.stats.bitrate_bps(recorder.start_unix_s + 10) == pytest.approx(real_bps, rel=0.1)
    assert recorder.packager.stats.key_frame_interval_s == pytest.approx(1, abs=0.01)


def test_a_frame_rate_that_nobody_declared_is_measured():
    recorder = Recorder().configure(VIDEO).push(video(25, 5))
    assert read_multivariant(recorder.window.multivariant_playlist())[0]["FRAME-RATE"] == "25.000"


def test_samples_before_the_first_key_frame_are_dropped_and_counted():
    timed = list(interleave(video(30, 5), audio(5)))[40:]
    recorder = Recorder().configure(VIDEO, AUDIO).push(timed).finish()
    samples = recorder.samples()
    assert samples[1][0].sync
    assert recorder.packager.stats.dropped["before_key"] > 10
    dropped = recorder.packager.stats.dropped_samples
    assert sum(map(len, samples.values())) + dropped == len(timed)


def test_video_that_never_has_a_key_frame_is_refused():
    recorder = Recorder().configure(VIDEO, AUDIO)
    timed = ((at, video_frame(round(at * 1000))) for at in range(60))
    with pytest.raises(KeyFrameMissing, match="key frame"):
        recorder.push(timed)
    assert not recorder.window.ready
    last = recorder.packager.stats.last_frame_s - recorder.start_unix_s
    assert KEY_FRAME_WAIT_S < last < KEY_FRAME_WAIT_S + 3


@pytest.mark.parametrize("delta_frames", [False, True])
def test_sound_goes_on_without_video_that_never_has_a_key_frame(delta_frames: bool):
    recorder = Recorder().configure(VIDEO, AUDIO)
    pictures = [(at, replace(frame, is_key=False)) for at, frame in video(30, 40)] if delta_frames else []
    recorder.push(interleave(pictures, audio(40))).finish()
    assert {tracks_of(init) for init in recorder.inits.values()} == {1}
    samples = recorder.samples()[2]
    assert len(samples) > (40 - FIRST_KEY_WAIT_S - 1) * 48000 / 1024
    assert recorder.packager.stats.video_codecs == ""


def test_video_is_back_with_its_first_key_frame():
    recorder = Recorder().configure(VIDEO, AUDIO)
    pictures = [timed for timed in video(30, 20) if timed[0] >= 8]
    recorder.push(interleave(pictures, audio(20))).finish()
    assert [tracks_of(init) for init in recorder.inits.values()] == [1, 2]
    assert len(recorder.samples()[1]) == 12 * 30
    assert recorder.packager.stats.video_codecs == VIDEO.codecs


def test_a_stream_shorter_than_a_segment_can_be_seen_once_it_has_ended():
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(30, 0.7), audio(0.7))).finish()
    assert not recorder.window.ready
    recorder.window.end()
    assert recorder.history.last.ended
    assert len(recorder.samples()[1]) == 21


def test_an_announced_track_is_waited_for():
    both = list(interleave(video(30, 6), audio(6)))
    recorder = Recorder().configure(StreamMetadata(width=640, height=360, audio_bitrate_bps=128_000), VIDEO)
    recorder.push([timed for timed in both if timed[1].track == "video" and timed[0] < 0.7])
    recorder.configure(AUDIO).push(timed for timed in both if timed[0] >= 0.7).finish()
    assert recorder.packager.stats.discontinuities == 0
    assert {tracks_of(init) for init in recorder.inits.values()} == {2}
    assert len(recorder.samples()[1]) == 180


def test_a_track_that_was_announced_and_never_comes_is_given_up_after_a_second():
    recorder = Recorder().configure(StreamMetadata(width=640, height=360, audio_bitrate_bps=128_000), VIDEO)
    recorder.push(video(30, 6)).finish()
    assert recorder.packager.stats.audio_codecs == ""
    samples = recorder.samples()
    assert len(samples[1]) == 180
    assert {sample.data for sample in samples[2]} == {silence(AUDIO)}


@pytest.mark.parametrize("late", [AUDIO, VIDEO])
def test_a_track_that_comes_later_is_a_discontinuity(late):
    both = list(interleave(video(30, 12), audio(12)))
    track = "audio" if late is AUDIO else "video"
    recorder = Recorder().configure(VIDEO if late is AUDIO else AUDIO)
    recorder.push(timed for timed in both if timed[0] < 5.5 and timed[1].track != track)
    recorder.configure(late).push(timed for timed in both if timed[0] >= 5.5).finish()
    assert [tracks_of(init) for init in recorder.inits.values()] == ([2] if late is AUDIO else [1, 2])
    assert len(recorder.discontinuities) == 1 == recorder.packager.stats.discontinuities
    samples = recorder.samples()
    assert len(samples[1]) == (360 if late is AUDIO else 180)
    assert monotonic(samples[1])
    assert monotonic(samples[2])


@pytest.mark.parametrize("config", [OTHER_VIDEO, OTHER_AUDIO])
def test_a_configuration_change_begins_a_segment_with_a_new_init(config):
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(30, 5), audio(5)))
    recorder.configure(config)
    rate = 44100 if config is OTHER_AUDIO else 48000
    recorder.push(moved(interleave(video(30, 6), audio(6, rate=rate)), 5, 5000)).finish()
    assert len(recorder.inits) == 2
    assert len(recorder.discontinuities) == 1
    (at,) = recorder.discontinuities
    assert recorder.maps[at] != recorder.maps[at - 1]
    assert len(recorder.samples()[1]) == 330


def test_the_same_configuration_again_changes_nothing():
    recorder = Recorder().configure(VIDEO, AUDIO)
    for second in range(6):
        recorder.configure(VIDEO, AUDIO)
        recorder.push(moved(interleave(video(30, 1), audio(1)), second, second * 1000))
    assert recorder.packager.stats.discontinuities == 0
    assert len(recorder.inits) == 1


@pytest.mark.parametrize("jump_ms", [-3_600_000, -4_000, 10_000, 7_200_000, 2**31])
def test_timestamps_that_jump_are_one_discontinuity(jump_ms):
    start = 5_000_000
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(moved(interleave(video(30, 5), audio(5)), 0, start))
    recorder.push(moved(interleave(video(30, 6), audio(6)), 5, start + 5000 + jump_ms)).finish()
    stats = recorder.packager.stats
    assert (stats.timestamp_jumps, stats.discontinuities, len(recorder.discontinuities)) == (1, 1, 1)
    samples = recorder.samples()
    assert monotonic(samples[1])
    assert monotonic(samples[2])
    assert len(samples[1]) == 330
    assert len(recorder.inits) == 1
    assert max(s.duration for s in samples[1]) < 90000


def test_tracks_with_wildly_different_origins_play_together():
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(30, 6), audio(6, start_ms=86_400_000))).finish()
    samples = recorder.samples()
    assert abs(samples[1][0].time / 90 - samples[2][0].time / 48) < 50
    assert recorder.packager.stats.discontinuities == 0


def test_a_publisher_that_returns_continues_the_window():
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(30, 5.5), audio(5.5))).finish()
    recorder.packager.restart()
    recorder.configure(VIDEO, AUDIO)
    recorder.push(moved(interleave(video(30, 6), audio(6)), 20, 0)).finish()
    assert len(recorder.discontinuities) == 1
    assert len(recorder.inits) == 2
    prefixes = {name.split("_")[0] for name in recorder.parts}
    assert len(prefixes) == 2
    assert sorted(recorder.bodies) == list(range(7, 7 + len(recorder.bodies)))
    samples = recorder.samples()
    assert monotonic(samples[1])
    assert monotonic(samples[2])
    assert len(samples[1]) == 345
    recorder.window.end()
    recorder.look()
    assert recorder.history.last.ended
    assert not recorder.history.last.hint


def test_decode_times_that_stand_still_or_go_back_a_little_stay_in_order():
    recorder = Recorder().configure(VIDEO)
    timed = list(video(30, 6))
    wild = [(at, replace(e, dts_90k=e.dts_90k - 6300 * (i % 7 == 3))) for i, (at, e) in enumerate(timed)]
    recorder.push(wild).finish()
    samples = recorder.samples()[1]
    assert len(samples) == 180
    assert monotonic(samples)
    shown = [s.time + s.cts for s in samples]
    assert shown == [900_000 + e.dts_90k for _, e in wild], "presentation times are the publisher's"


def test_negative_composition_offsets():
    recorder = Recorder().configure(VIDEO).push(video(30, 4, cts_ms=-40)).finish()
    assert {s.cts for s in recorder.samples()[1]} == {-3600}


def test_garbage_does_not_grow_memory():
    recorder = Recorder()
    recorder.push((i / 30, video_frame(i * 33, b"x" * 1000, is_key=True)) for i in range(5000))
    assert recorder.packager.stats.dropped_samples >= 4000
    assert recorder.window.media_bytes == 0


step = st.one_of(st.integers(0, 60), st.integers(0, 60), st.integers(-500, 3000), st.integers(-(2**40), 2**40))
data = st.binary(min_size=1, max_size=8)
config = st.sampled_from([VIDEO, AUDIO, OTHER_VIDEO, OTHER_AUDIO, StreamMetadata(width=9, audio_bitrate_bps=9)])
sample = st.tuples(st.booleans(), step, st.integers(-(2**23), 2**23 - 1), st.booleans(), data)


def hostile(items):
    """Samples with steps between their timestamps that are mostly small, configurations in between."""
    stamp = 0
    for item in items:
        if not isinstance(item, tuple):
            yield item
            continue
        picture, step_ms, cts_ms, is_key, body = item
        stamp += step_ms
        yield video_frame(stamp, body, is_key=is_key, cts_ms=cts_ms) if picture else audio_frame(stamp, body)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(sample, sample, sample, sample, sample, config), min_size=40, max_size=200))
def test_hostile_events_break_no_rule(items):
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push((index / 30, event) for index, event in enumerate(hostile(items))).finish()
    samples = recorder.samples() if recorder.bodies else {}
    assert monotonic(samples.get(1, []))
