"""Sound that comes late, stops or never comes: both writers get audio without a hole, in sync with the picture."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from airnode.config.sections.hls import HlsSection
from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig, Frame
from airnode.media.hls.window import Window
from airnode.media.live.feed import LiveLimits
from airnode.media.room.packager import Packager
from tests.support import bmff
from tests.support.livefeed import Room, Viewer
from tests.support.publisher import AUDIO, VIDEO, Recorder, Timed, audio, interleave, video

RATE = 48000
VIDEO_TRACK, AUDIO_TRACK = 1, 2
SILENCE = silence(AUDIO)


def outputs(timed: Iterable[Timed]) -> list[dict[int, list[bmff.Sample]]]:
    """Return what both writers made of a publisher's frames, by track: segments, live.mp4."""
    room = Room(LiveLimits(queue_bytes=1 << 30, queue_fragments=1 << 20))
    recorder = Recorder(live=room.feed).configure(VIDEO, AUDIO)
    viewer: Viewer | None = None
    for item in timed:
        recorder.push([item])
        if viewer is None and room.feed.ready:
            viewer = Viewer(room)
    assert viewer is not None
    recorder.finish()
    return [recorder.samples(), tracks_of(viewer)]


def tracks_of(viewer: Viewer) -> dict[int, list[bmff.Sample]]:
    return {track: viewer.stream.samples(track) for track in (VIDEO_TRACK, AUDIO_TRACK)}


def without(gaps: Iterable[tuple[float, float]], duration_s: float, *, late_s: float = 0.0) -> list[Timed]:
    """Return a stream whose sound is missing in these gaps (from, to: seconds), and comes ``late_s`` after video."""
    gaps = list(gaps)
    sounds = [
        (at + late_s, frame) for at, frame in audio(duration_s) if not any(begin <= at < end for begin, end in gaps)
    ]
    return list(interleave(video(30, duration_s), sounds))


def sync_error_ms(samples: dict[int, list[bmff.Sample]], sent: list[Timed]) -> float:
    """Return how far a frame of sound is from where the publisher's time puts it, relative to video."""
    origin_s = samples[VIDEO_TRACK][0].time / 90_000
    sent_ms = {frame.data: frame.dts_90k / 90 for _, frame in sent if isinstance(frame, Frame)}
    return max(
        abs((sample.time / RATE - origin_s) * 1000 - sent_ms[sample.data])
        for sample in samples[AUDIO_TRACK]
        if sample.data != SILENCE
    )


def check(samples: dict[int, list[bmff.Sample]]) -> None:
    sounds = samples[AUDIO_TRACK]
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(sounds))
    assert all(a.time < b.time for a, b in itertools.pairwise(samples[VIDEO_TRACK]))
    begins_s = sounds[0].time / RATE - samples[VIDEO_TRACK][0].time / 90_000
    ends_s = (sounds[-1].time + sounds[-1].duration) / RATE - samples[VIDEO_TRACK][-1].time / 90_000
    assert -0.1 < begins_s < 0.03
    assert -0.45 < ends_s < 0.2


@pytest.mark.parametrize(
    "gaps",
    [[(0, 99)], [(0, 1.2)], [(0.04, 99)], [(4, 9)], [(4, 99)], [(0, 6)], [(3, 3.2), (5, 5.6)]],
    ids=["never", "from 1.2 s", "one frame", "muted 5 s", "stops", "from 6 s", "short holes"],
)
def test_sound_that_is_missing_is_silence_in_both_outputs(gaps):
    timed = without(gaps, 12)
    for samples in outputs(timed):
        check(samples)
        assert len(samples[VIDEO_TRACK]) >= 359
        if any(sample.data != SILENCE for sample in samples[AUDIO_TRACK]):
            assert sync_error_ms(samples, timed) < 20


def test_sound_that_returns_loses_little():
    timed = without([(4, 9)], 14)
    sent = sum(1 for _, frame in timed if frame.track == "audio")
    for samples in outputs(timed):
        heard = sum(sample.data != SILENCE for sample in samples[AUDIO_TRACK])
        assert sent - 2 <= heard <= sent


@pytest.mark.parametrize("late_s", [0.1, 0.6, 1.5])
def test_sound_that_always_comes_late_is_soon_waited_for(late_s: float):
    timed = without([], 20, late_s=late_s)
    lost_s = late_s + 0.5
    for samples in outputs(timed):
        heard = sum(sample.data != SILENCE for sample in samples[AUDIO_TRACK])
        assert heard > (20 - lost_s - late_s) * RATE / 1024
        assert sync_error_ms(samples, timed) < 20
        last_silence = max((s.time for s in samples[AUDIO_TRACK] if s.data == SILENCE), default=0)
        assert last_silence / RATE < 10 + lost_s


def test_a_student_who_joins_while_there_is_no_sound_gets_silence():
    room = Room()
    recorder = Recorder(live=room.feed).configure(VIDEO, AUDIO)
    timed = without([(2, 99)], 20)
    recorder.push(item for item in timed if item[0] < 14)
    viewer = Viewer(room)
    recorder.push(item for item in timed if item[0] >= 14)
    samples = tracks_of(viewer)
    check(samples)
    assert {sample.data for sample in samples[AUDIO_TRACK]} == {SILENCE}


@pytest.mark.parametrize("rate", [22050, 44100])
def test_other_sample_rates(rate: int):
    config = replace_rate(rate)
    packager = Packager(HlsSection(), window := Window())
    packager.push([VIDEO, config])
    sounds = [timed for timed in audio(12, rate=rate) if not 4 < timed[0] < 9]
    for at, frame in interleave(video(30, 12), sounds):
        packager.push([replace(frame, arrived_s=1e9 + at)])
    packager.finish()
    window.end()
    assert packager.stats.silent_frames == pytest.approx(5 * rate / 1024, abs=2)


def replace_rate(rate: int) -> AudioConfig:
    return AudioConfig(AUDIO.record, AUDIO.codecs, rate, 2)


@given(
    st.lists(st.tuples(st.floats(0.05, 3), st.floats(0.1, 3)), max_size=6),
    st.lists(st.tuples(st.floats(0.5, 3), st.floats(0.05, 1.8)), max_size=4),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_random_holes_in_both_tracks_keep_them_together(sound_gaps, picture_gaps, late_s):
    def spans(gaps):
        at, found = 0.0, []
        for heard, missing in gaps:
            found.append((at + heard, at + heard + missing))
            at += heard + missing
        return found

    timed = without(spans(sound_gaps), 12, late_s=late_s)
    pictures = spans(picture_gaps)
    kept = [
        (at, frame)
        for at, frame in timed
        if frame.track == "audio" or frame.is_key or not any(begin <= at < end for begin, end in pictures)
    ]
    for samples in outputs(kept):
        for track in (VIDEO_TRACK, AUDIO_TRACK):
            assert all(a.time < b.time for a, b in itertools.pairwise(samples[track]))
        sounds = samples[AUDIO_TRACK]
        holes = [b.time - a.time - a.duration for a, b in itertools.pairwise(sounds)]
        assert not any(holes)
        assert sync_error_ms(samples, kept) < 60 if len({s.data for s in sounds} - {SILENCE}) else True
