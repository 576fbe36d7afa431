"""Parts and segments of many kinds of publishers; a client checks every rule after every change."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airnode.config.sections.hls import HlsSection
from airnode.media.cmaf.segmenter import SegmentTooLarge
from airnode.media.frames import AudioConfig
from tests.support.publisher import AUDIO, VIDEO, Recorder, audio, frames, interleave, monotonic, video, video_frame

RATES = [15, 24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60000 / 1001, 60]


def payloads(timed):
    return [event.data for _, event in timed]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("gop_s", [1, 2])
@pytest.mark.parametrize("part_ms", [100, 200])
def test_constant_rates_with_millisecond_timestamps(fps, gop_s, part_ms):
    pictures = list(video(fps, 12, gop=round(fps * gop_s)))
    sounds = list(audio(12))
    recorder = Recorder(HlsSection(part_target_ms=part_ms)).configure(VIDEO, AUDIO)
    recorder.push(interleave(pictures, sounds)).finish()
    media = recorder.history.last
    assert media.target_duration_s == 2
    assert media.independent
    assert recorder.history.part_target_changes == 0
    assert recorder.packager.stats.forced_segments == 0
    assert abs(media.part_target_s - part_ms / 1000) < 1.05 / fps
    assert all(abs(s.duration_s - gop_s) < 0.05 for s in media.segments[:-1] if not s.gap)
    samples = recorder.samples()
    assert [sample.data for sample in samples[1]] == payloads(pictures)
    assert [sample.data for sample in samples[2]] == payloads(sounds)
    assert monotonic(samples[1])
    assert monotonic(samples[2])
    assert recorder.packager.stats.frame_rate == pytest.approx(fps, rel=0.02)


@pytest.mark.parametrize("fps", RATES)
def test_parts_are_equal_whole_frames(fps):
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(fps, 10, gop=round(fps * 2)), audio(10))).finish()
    target = recorder.history.last.part_target_s
    full = [part for part in recorder.parts.values() if part.duration_s >= 0.85 * target]
    assert len(full) >= len(recorder.parts) - len(recorder.bodies) - 1


@pytest.mark.parametrize("fps", [1, 2, 3, 5])
def test_slides_have_parts_of_whole_frames(fps):
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(fps, 20, gop=fps * 2), audio(20))).finish()
    assert recorder.history.last.part_target_s == pytest.approx(1 / fps, abs=0.2 if fps == 5 else 0.01)
    assert recorder.history.part_target_changes == 0
    assert len(recorder.samples()[1]) == fps * 20


@pytest.mark.parametrize("fps", [1, 5, 30])
@pytest.mark.parametrize("declared", [None, 30.0, 60.0])
def test_video_without_audio_at_any_declared_rate(fps, declared):
    config = type(VIDEO)(VIDEO.codec, VIDEO.record, VIDEO.codecs, 640, 360, declared)
    recorder = Recorder().configure(config)
    pictures = list(video(fps, 20, gop=fps * 2))
    recorder.push(pictures).finish()
    assert [s.data for s in recorder.samples()[1]] == payloads(pictures)
    assert "mp4a" not in recorder.packager.stats.codecs


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_audio_only_has_parts_of_whole_frames(rate):
    config = AudioConfig(AUDIO.record, AUDIO.codecs, rate, 2)
    sounds = list(audio(15, rate=rate))
    recorder = Recorder().configure(config)
    recorder.push(sounds).finish()
    media = recorder.history.last
    assert media.independent
    assert all(part.independent for part in recorder.parts.values())
    assert [s.data for s in recorder.samples()[2]] == payloads(sounds)
    assert {s.duration for s in recorder.samples()[2]} == {1024}
    assert media.part_target_s == pytest.approx(0.133, abs=0.025)


def test_segments_end_at_the_last_key_frame_that_keeps_the_target_duration():
    # Scene cuts put key frames in between; the encoder then waits two seconds again.
    keys_ms = {0, 2000, 4000, 4900, 6900, 8000, 8500, 10500}
    pictures = [(ms / 1000, video_frame(ms, is_key=ms in keys_ms)) for ms in range(0, 12500, 20)]
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(pictures, audio(12.5))).finish()
    assert recorder.history.last.independent
    assert recorder.packager.stats.forced_segments == 0


def test_a_segment_without_a_key_frame_is_ended_anyway():
    pictures = [(ms / 1000, video_frame(ms, is_key=ms in (0, 1000, 2000, 15000))) for ms in range(0, 17000, 40)]
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(pictures, audio(17))).finish()
    assert recorder.packager.stats.forced_segments >= 4
    assert not recorder.history.last.independent
    assert len(recorder.samples()[1]) == len(pictures)


def test_without_a_second_key_frame_the_longest_segment_decides_the_target_duration():
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(30, 4.4, gop=250), audio(4.4)))
    assert not recorder.window.ready
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(video(30, 40, gop=250), audio(40))).finish()
    assert recorder.history.last.target_duration_s == 10
    assert recorder.history.last.independent


def test_a_short_pause_of_the_camera_keeps_the_part_target():
    times = [ms for ms in range(0, 8000, 33) if not 3100 < ms < 4400]
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(frames(times), audio(8))).finish()
    assert recorder.history.part_target_changes == 0
    assert recorder.packager.stats.irregular_parts == 0
    samples = recorder.samples()
    assert len(samples[1]) == len(times)
    assert monotonic(samples[1])
    assert max(sample.duration for sample in samples[1]) > 1.3 * 90000


def test_a_camera_that_stops_is_shown_as_a_still_until_it_comes_back():
    times = [ms for ms in range(0, 30000, 33) if not 5000 < ms < 20000]
    recorder = Recorder().configure(VIDEO, AUDIO)
    last = 0
    for at_s, event in interleave(frames(times), audio(30)):
        recorder.push([(at_s, event)])
        if 6 < at_s < 20:
            last = max(last, at_s - sum(part.duration_s for part in recorder.parts.values()))
    recorder.finish()
    assert last < 2.0, "parts must go on while the camera is off"
    stats = recorder.packager.stats
    assert stats.repeated_stills > 50
    assert stats.discontinuities == 0
    assert stats.timestamp_jumps == 0
    samples = recorder.samples()
    assert monotonic(samples[1])
    assert monotonic(samples[2])
    ends = [sample.time + sample.duration for sample in samples[1]]
    assert all(b.time == end for end, b in zip(ends, samples[1][1:], strict=False)), "no hole in the video"


def test_audio_that_stops_does_not_stop_the_parts():
    recorder = Recorder().configure(VIDEO, AUDIO)
    sounds = [(at, event) for at, event in audio(20) if not 5 < at < 15]
    recorder.push(interleave(video(30, 20), sounds)).finish()
    assert recorder.packager.stats.discontinuities == 0
    samples = recorder.samples()
    assert len(samples[1]) == 600
    assert len(samples[2]) == len(sounds) + recorder.packager.stats.silent_frames
    assert sum(sample.duration for sample in samples[2]) == pytest.approx(20 * 48000, abs=3000)
    assert monotonic(samples[2])


def test_a_segment_above_the_byte_limit_ends_the_stream():
    recorder = Recorder(HlsSection(segment_max_bytes=1 << 20)).configure(VIDEO)
    with pytest.raises(SegmentTooLarge):
        recorder.push(video(30, 5, gop=300, size=40_000))


durations = st.integers(5, 900)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(durations, min_size=20, max_size=120), st.integers(200, 4000), st.sampled_from([100, 200, 500]))
def test_any_frame_rate_with_audio_keeps_every_rule(steps, gop_ms, part_ms):
    times = list(accumulate(steps, initial=0))
    recorder = Recorder(HlsSection(part_target_ms=part_ms)).configure(VIDEO, AUDIO)
    length_s = times[-1] / 1000
    pictures = list(frames(times, gop_ms=gop_ms))
    recorder.push(interleave(pictures, audio(length_s))).finish()
    if recorder.history.last is None:
        return
    samples = recorder.samples()
    assert monotonic(samples[1])
    assert monotonic(samples[2])
    kept = [event.data for _, event in pictures]
    # The finished segments contain all frames that were pushed, in order.
    assert [s.data for s in samples[1]] == kept[: len(samples[1])]
    assert len(samples[1]) >= len(kept) - 1
    assert sorted(recorder.bodies) == list(range(7, 7 + len(recorder.bodies)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(durations, min_size=20, max_size=120), st.integers(200, 4000))
def test_any_frame_rate_without_audio_keeps_every_rule(steps, gop_ms):
    times = list(accumulate(steps, initial=0))
    recorder = Recorder().configure(VIDEO)
    pictures = list(frames(times, gop_ms=gop_ms))
    recorder.push(pictures).finish()
    if recorder.history.last is None:
        return
    samples = recorder.samples()[1]
    assert [s.data for s in samples] == [event.data for _, event in pictures]
    assert all(a.time + a.duration == b.time for a, b in pairwise(samples))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_late_audio_and_late_video_keep_every_rule(data):
    lag_ms = data.draw(st.integers(-1500, 1500))
    gop = data.draw(st.integers(5, 90))
    pictures = [(at + max(0, lag_ms) / 1000, event) for at, event in video(30, 12, gop=gop)]
    sounds = [(at + max(0, -lag_ms) / 1000, event) for at, event in audio(12)]
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(interleave(pictures, sounds)).finish()
    samples = recorder.samples()
    assert monotonic(samples[1])
    assert monotonic(samples[2])
    assert [s.data for s in samples[1]] == payloads(pictures)
