"""Tracks and clocks that come, go and lie: the other track goes on, and nothing grows without a bound."""

import itertools
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig
from airnode.media.live.feed import LiveLimits
from airnode.media.samples.findings import Findings
from tests.support import bmff
from tests.support.livefeed import Room, Viewer
from tests.support.publisher import AUDIO, VIDEO, Recorder, Timed, audio, interleave, video

SILENCE = silence(AUDIO)
VIDEO_TRACK, AUDIO_TRACK = 1, 2
OTHER_AUDIO = AudioConfig(bytes.fromhex("1210"), "mp4a.40.2", 44100, 2)


def continuous(samples: list[bmff.Sample]) -> bool:
    return all(a.time < b.time for a, b in itertools.pairwise(samples))


def stamped(timed: Iterable[Timed], change) -> list[Timed]:
    """Return the stream with other timestamps: ``change(arrival in ms)``, in ms."""
    return [(at, replace(frame, dts_90k=round(change(at * 1000)) * 90)) for at, frame in timed]


def both(duration_s: float) -> list[Timed]:
    return list(interleave(video(30, duration_s), audio(duration_s)))


def seen_by(timed: Iterable[Timed], configs=(VIDEO, AUDIO)) -> tuple[Recorder, Findings, Viewer]:
    """Return what a recorder and a viewer of live.mp4 got, and what is said in the studio."""
    room = Room(LiveLimits(queue_bytes=1 << 30, queue_fragments=1 << 20))
    findings = Findings()
    recorder = Recorder(live=room.feed, findings=findings).configure(*configs)
    viewer = None
    for item in timed:
        recorder.push([item])
        if viewer is None and room.feed.ready:
            viewer = Viewer(room)
    assert viewer is not None
    return recorder.finish(), findings, viewer


def codes(findings: Findings) -> set[str]:
    return {code for _, code in findings.counts}


@pytest.mark.parametrize("config", [AUDIO, OTHER_AUDIO])
def test_sound_whose_header_comes_late_begins_with_the_next_key_frame(config: AudioConfig):
    recorder = Recorder().configure(VIDEO)
    timed = list(interleave(video(30, 12), audio(12, rate=config.sample_rate)))
    recorder.push(item for item in timed if item[0] < 4.5).configure(config)
    recorder.push(item for item in timed if item[0] >= 4.5).finish()
    samples = recorder.samples()
    assert len(samples[VIDEO_TRACK]) == 360
    assert continuous(samples[VIDEO_TRACK])
    assert len(recorder.discontinuities) == 1
    first = next(index for index, sample in enumerate(samples[AUDIO_TRACK]) if sample.data != SILENCE)
    heard_ms = samples[AUDIO_TRACK][first].data[:4]
    assert int.from_bytes(heard_ms, "big") - (1 << 31) == pytest.approx(5 * config.sample_rate / 1024, abs=4)


def test_sound_that_waits_for_a_key_frame_in_vain_is_said():
    findings = Findings()
    recorder = Recorder(findings=findings).configure(VIDEO)
    timed = list(interleave(video(30, 12, gop=9_999), audio(12)))
    recorder.push(item for item in timed if item[0] < 4.5).configure(AUDIO)
    recorder.push(item for item in timed if 4.5 <= item[0] < 7.4)
    assert "sound_waits" not in codes(findings)
    recorder.push(item for item in timed if item[0] >= 7.4).finish()
    assert "sound_waits" in codes(findings)
    assert len(recorder.samples()[VIDEO_TRACK]) == 360


def test_sound_that_comes_late_does_not_end_before_the_picture():
    recorder = Recorder().configure(VIDEO, AUDIO)
    late = [(at + 1.0, frame) for at, frame in audio(6)]
    recorder.push(item for item in interleave(video(30, 6), late) if item[0] < 6).finish()
    samples = recorder.samples()
    picture, sound = samples[VIDEO_TRACK][-1], samples[AUDIO_TRACK][-1]
    assert (sound.time + sound.duration) / 48_000 == pytest.approx(picture.time / 90_000, abs=0.1)


def test_another_sound_costs_no_picture():
    recorder = Recorder().configure(VIDEO, AUDIO)
    recorder.push(item for item in both(5.5))
    recorder.configure(OTHER_AUDIO)
    rest = [item for item in interleave(video(30, 12), audio(12, rate=44100)) if item[0] >= 5.5]
    recorder.push(rest).finish()
    assert len(recorder.samples()[VIDEO_TRACK]) == 360
    assert len(recorder.inits) == 2


@pytest.mark.parametrize("appears", [True, False])
def test_a_track_that_appears_or_vanishes_at_a_reconnect_leaves_the_tracks_of_segments(appears: bool):
    recorder = Recorder().configure(*((VIDEO,) if appears else (VIDEO, AUDIO)))
    recorder.push(video(30, 6) if appears else both(6)).finish()
    recorder.packager.restart()
    recorder.configure(*((VIDEO, AUDIO) if appears else (VIDEO,)))
    recorder.push((at + 8, frame) for at, frame in (both(6) if appears else video(30, 6))).finish()
    samples = recorder.samples()
    assert {len(bmff.root(init).all("moov/trak")) for init in recorder.inits.values()} == {2}
    assert continuous(samples[VIDEO_TRACK]) and continuous(samples[AUDIO_TRACK])
    assert len(samples[VIDEO_TRACK]) == 360


def test_video_that_stops_leaves_the_sound():
    timed = [item for item in both(14) if item[1].track == "audio" or not 4 < item[0] < 9]
    recorder, _, viewer = seen_by(timed)
    for samples in (recorder.samples(), {n: viewer.stream.samples(n) for n in (1, 2)}):
        assert continuous(samples[VIDEO_TRACK]) and continuous(samples[AUDIO_TRACK])
        assert all(sample.data != SILENCE for sample in samples[AUDIO_TRACK])


CLOCKS = {
    "zero": lambda at_ms: 0,
    "stops": lambda at_ms: min(at_ms, 4_000),
    "seconds": lambda at_ms: at_ms // 1000,
    "jumps": lambda at_ms: at_ms * 1000,
    "backward": lambda at_ms: 3_600_000 - at_ms,
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_that_is_none_is_replaced_by_arrival(clock: str):
    recorder, findings, viewer = seen_by(stamped(both(20), CLOCKS[clock]))
    assert codes(findings) & {"clock_stuck", "clock_jumps"}
    assert recorder.packager.stats.discontinuities <= 5
    for samples in (recorder.samples(), {n: viewer.stream.samples(n) for n in (1, 2)}):
        assert continuous(samples[VIDEO_TRACK]) and continuous(samples[AUDIO_TRACK])
        late = samples[VIDEO_TRACK][-300:]
        assert (late[-1].time - late[0].time) / 90_000 == pytest.approx(10, abs=0.5)
        heard = sum(sample.data != SILENCE for sample in samples[AUDIO_TRACK][-400:])
        assert heard > 380


def test_a_clock_in_another_unit_makes_no_long_hole():
    recorder, findings, _ = seen_by(stamped(both(12), lambda at_ms: at_ms * 90))
    assert codes(findings) == {"clock_jumps"}
    picture = recorder.samples()[VIDEO_TRACK]
    assert (picture[-1].time - picture[0].time) / 90_000 < 16


def test_a_picture_whose_clock_jumps_alone_leaves_no_hole_that_stops_it():
    timed = [(at, replace(f, dts_90k=f.dts_90k - 450_000 * (f.track == "video" and at >= 5))) for at, f in both(9)]
    recorder, findings, _ = seen_by(timed)
    assert codes(findings) == set()
    picture = recorder.samples()[VIDEO_TRACK]
    steps_90k = [b.time - a.time for a, b in itertools.pairwise(picture)]
    assert len(picture) == 270
    # Chromium takes frames that are up to two frames apart for continuous.
    assert max(steps_90k) < 6_000


def test_a_clock_at_half_speed_is_replaced_by_arrival():
    recorder, findings, _ = seen_by(stamped(both(12), lambda at_ms: at_ms / 2))
    assert codes(findings) == {"clock_speed"}
    picture = recorder.samples()[VIDEO_TRACK][-200:]
    assert (picture[-1].time - picture[0].time) / 90_000 == pytest.approx(199 / 30, abs=0.2)


def test_a_stall_of_the_network_is_no_broken_clock():
    stalled = [(max(at, 9.0) if 5 < at < 9 else at, frame) for at, frame in both(20)]
    recorder, findings, _ = seen_by(stalled)
    assert codes(findings) == set()
    assert recorder.packager.stats.discontinuities == 0


def test_slides_have_a_clock():
    _, findings, _ = seen_by(video(0.5, 60, gop=2), configs=(VIDEO,))
    assert codes(findings) == set()


@pytest.mark.parametrize("only", [None, 60, 75], ids=["all", "key frame", "frame"])
@pytest.mark.parametrize("offset_ms", [60_000, -5_000])
def test_impossible_composition_offsets_are_corrected(only: int | None, offset_ms: int):
    def change(index, frame):
        usual = (66, 100, 33)[index % 3]
        odd = only is None or index == only
        return replace(frame, cts_90k=(usual + (offset_ms if odd else 0)) * 90)

    pictures = [(at, change(index, frame)) for index, (at, frame) in enumerate(video(30, 8))]
    recorder, findings, viewer = seen_by(interleave(pictures, audio(8)))
    assert codes(findings) == {"composition_offset"}
    for samples in (recorder.samples(), {n: viewer.stream.samples(n) for n in (1, 2)}):
        for index, sample in enumerate(samples[VIDEO_TRACK]):
            shown_ms = (sample.time + sample.cts - samples[VIDEO_TRACK][0].time) / 90
            assert abs(shown_ms - index * 100 / 3) < 250


def test_key_frames_that_never_come_again_are_shown_as_a_long_interval():
    recorder, _, _ = seen_by(interleave(video(30, 20, gop=9999), audio(20)))
    assert recorder.packager.stats.key_frame_interval_s == pytest.approx(20, abs=0.1)
