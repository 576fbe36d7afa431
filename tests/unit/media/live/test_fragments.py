"""Fragments of one frame: times, holes, stills and silence, as Media Source Extensions want them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.media.frames import Frame
from airnode.media.live.fragmenter import AUDIO_WAIT_90K, Fragment, Fragmenter, http_chunk
from tests.support import bmff, livemp4
from tests.support.livemp4 import AUDIO as AUDIO_TRACK
from tests.support.livemp4 import VIDEO as VIDEO_TRACK
from tests.support.publisher import AUDIO

START = 900_000
RATE = AUDIO.sample_rate


def placed_audio(dts_samples: int, samples: int, data: bytes, arrived_s: float) -> Frame:
    """Return a frame as the packager passes it on."""
    return Frame("audio", dts_samples * 90_000 // RATE, 0, data, True, arrived_s, dts_samples, samples)


class Bench:
    """A fragmenter and the fragments that it has written."""

    def __init__(
        self,
        fragment_ms: int = 0,
        *,
        video: bool = True,
        audio: bool = True,
        frame_s: float = 1 / 30,
        sound_wait_ms: int = 10,
    ) -> None:
        self.fragments: list[Fragment] = []
        self.it = Fragmenter(fragment_ms, self.fragments.append, sound_wait_ms)
        self.it.begin(has_video=video, audio=AUDIO if audio else None, frame_s=frame_s)
        self.sent: list[int] = []

    def frame(self, ms: float, *, key: bool = False, cts: int = 0) -> None:
        dts_90k = START + int(ms * 90)
        self.sent.append(dts_90k + cts)
        data = b"video" + len(self.sent).to_bytes(4, "big")
        self.it.add(Frame("video", dts_90k, cts, data, key, 1000 + ms / 1000))

    def sound(self, ms: float, samples: int = 1024) -> None:
        self.it.add(placed_audio(START * RATE // 90_000 + round(ms * RATE / 1000), samples, b"audio", 1000 + ms / 1000))

    def play(self, seconds: float, fps: float, samples: int = 1024) -> list[float]:
        """Add sound and picture in the order of their times. Return how long sound waited each time, in ms."""
        pictures = [(index * 1000 / fps, 0) for index in range(int(seconds * fps))]
        sounds = [(index * samples * 1000 / RATE, samples) for index in range(int(seconds * RATE / samples))]
        waited, since_ms = [], -1.0
        for at_ms, length in sorted(pictures + sounds):
            before = len(self.fragments)
            if length:
                since_ms = at_ms if since_ms < 0 else since_ms
                self.sound(at_ms, length)
            else:
                self.frame(at_ms, key=at_ms == 0)
            if len(self.fragments) > before and since_ms >= 0:
                waited.append(at_ms - since_ms)
                since_ms = -1.0
        return waited

    @property
    def stream(self) -> livemp4.Stream:
        return livemp4.read(b"".join(fragment.body for fragment in self.fragments))

    def samples(self, track: int) -> list[bmff.Sample]:
        return self.stream.samples(track)


def is_continuous_for_mse(samples: list[bmff.Sample]) -> bool:
    """Return whether no step is a discontinuity for a browser (W3C MSE, coded frame processing)."""
    steps = itertools.pairwise(samples)
    return all(a.time < b.time and b.time - a.time <= 2 * a.duration for a, b in steps)


def test_each_frame_becomes_a_fragment_at_once():
    bench = Bench(audio=False)
    for index in range(5):
        bench.frame(index * 100 / 3, key=index == 0)
        assert len(bench.fragments) == index + 1
    assert [fragment.is_key for fragment in bench.fragments] == [True, False, False, False, False]
    assert [sample.time + sample.cts for sample in bench.samples(VIDEO_TRACK)] == bench.sent
    assert is_continuous_for_mse(bench.samples(VIDEO_TRACK))


def test_each_fragment_has_the_arrival_time_of_its_frame():
    bench = Bench(audio=False)
    bench.frame(0, key=True)
    bench.frame(40)
    first, second = bench.stream.fragments
    assert first.unix_s == pytest.approx(1000, abs=1e-6)
    assert second.unix_s == pytest.approx(1000.04, abs=1e-6)
    assert [first.media_time, second.media_time] == bench.sent


def test_a_fragment_of_several_frames_has_the_arrival_time_of_the_first():
    bench = Bench(100, audio=False)
    for index in range(6):
        bench.frame(index * 100 / 3, key=index == 0)
    first, second = bench.stream.fragments
    assert [first.media_time, second.media_time] == [bench.sent[0], bench.sent[3]]
    assert second.unix_s == pytest.approx(1000.1, abs=1e-3)


def test_fragments_of_several_frames_have_exact_durations():
    bench = Bench(100, audio=False)
    for index in range(31):
        bench.frame(index * 100 / 3, key=index in (0, 10, 14, 20))
    sizes = [len(fragment.tracks[VIDEO_TRACK]) for fragment in bench.stream.fragments]
    assert sizes == [3, 3, 3, 1, 3, 1, 3, 3, 3, 3, 3][: len(sizes)]
    assert [fragment.is_key for fragment in bench.fragments][3:6] == [False, True, False]
    samples = bench.samples(VIDEO_TRACK)
    for fragment in bench.stream.fragments:
        run = fragment.tracks[VIDEO_TRACK]
        assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(run))
    assert [sample.time + sample.cts for sample in samples] == bench.sent[: len(samples)]
    bench.it.finish()
    assert len(bench.samples(VIDEO_TRACK)) == 31


def test_a_late_frame_keeps_its_presentation_time_without_a_discontinuity():
    bench = Bench(audio=False)
    for ms in (0, 33, 66, 900, 933, 966, 1000, 1033):
        bench.frame(ms, key=ms == 0)
    samples = bench.samples(VIDEO_TRACK)
    assert is_continuous_for_mse(samples)
    assert [sample.time + sample.cts for sample in samples] == bench.sent


def test_decode_times_catch_up_after_a_late_frame():
    bench = Bench(audio=False)
    for index in range(60):
        bench.frame(index * 100 / 3 + (400 if index > 5 else 0), key=index == 0)
    samples = bench.samples(VIDEO_TRACK)
    assert samples[6].cts > 20_000
    assert samples[-1].cts == 0


@given(st.lists(st.integers(1, 1500), min_size=2, max_size=60), st.sampled_from([0, 34, 100, 200]))
def test_random_frame_times_lose_no_frame_and_cause_no_discontinuity(steps: list[int], fragment_ms: int):
    bench = Bench(fragment_ms, audio=False, frame_s=0)
    at_ms = 0
    for index, step in enumerate(steps):
        bench.frame(at_ms, key=index % 12 == 0)
        at_ms += step
    bench.it.finish()
    samples = bench.samples(VIDEO_TRACK)
    assert is_continuous_for_mse(samples)
    assert [sample.time + sample.cts for sample in samples] == bench.sent
    for fragment in bench.stream.fragments:
        assert not any(sample.sync for sample in fragment.tracks[VIDEO_TRACK][1:])


def test_b_frames_keep_their_presentation_times():
    bench = Bench(audio=False)
    order = [(0, 66), (33, 133), (66, 0), (100, 33), (133, 133)]
    for index, (ms, shift) in enumerate(order):
        bench.frame(ms, key=index == 0, cts=shift * 90)
    assert [sample.time + sample.cts for sample in bench.samples(VIDEO_TRACK)] == bench.sent


@pytest.mark.parametrize("fps", [5, 15, 25, 30, 50, 60])
@pytest.mark.parametrize("sound_wait_ms", [0, 10, 20, 100])
def test_sound_waits_for_the_picture_only_for_a_short_time(fps: int, sound_wait_ms: int):
    bench = Bench(frame_s=1 / fps, sound_wait_ms=sound_wait_ms)
    waited = bench.play(10, fps)
    assert max(waited) <= sound_wait_ms + 0.1
    heard = bench.samples(AUDIO_TRACK)
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(heard))
    assert [sample.time for sample in bench.samples(VIDEO_TRACK)] == bench.sent


def test_sound_that_waits_longer_needs_fewer_fragments():
    counts = []
    for sound_wait_ms in (0, 10, 20, 40):
        bench = Bench(sound_wait_ms=sound_wait_ms)
        bench.play(10, 30)
        counts.append(len(bench.fragments))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] <= 310
    assert counts[0] <= 770


def test_short_frames_of_sound_are_written_together():
    bench = Bench()
    bench.play(10, 30, samples=120)
    assert len(bench.fragments) <= 10 * (30 + 50)


def test_sound_goes_on_while_the_picture_is_late():
    bench = Bench(sound_wait_ms=20)
    bench.frame(0, key=True)
    for index in range(40):
        bench.sound(index * 64 / 3)
        written = sum(sample.duration for sample in bench.samples(AUDIO_TRACK))
        assert (index + 1) * 1024 - written <= 1024


def test_fragments_of_several_frames_hold_their_sound():
    bench = Bench(100)
    assert max(bench.play(3, 30)) <= 100.1
    assert len(bench.fragments) < 40


def test_where_fragments_have_several_frames_audio_does_not_wait_long_for_video():
    bench = Bench(34)
    bench.frame(0, key=True)
    for index in range(20):
        bench.sound(index * 64 / 3)
    sounding = [fragment for fragment in bench.stream.fragments if AUDIO_TRACK in fragment.tracks]
    assert len(sounding) >= 3
    longest = max(sum(sample.duration for sample in fragment.tracks[AUDIO_TRACK]) for fragment in sounding)
    assert longest * 90_000 / RATE <= AUDIO_WAIT_90K + 2 * 1920


def test_audio_before_the_key_frame_is_left_out():
    bench = Bench()
    for index in range(10):
        bench.sound(index * 64 / 3)
    bench.frame(100, key=True)
    bench.frame(133)
    first = bench.samples(AUDIO_TRACK)[0]
    end = (first.time + first.duration) * 90_000 / RATE
    assert START + 9000 < end <= START + 9000 + 1920


def test_audio_without_video_has_small_fragments_and_two_entry_points_a_second():
    bench = Bench(video=False)
    for index in range(100):
        bench.sound(index * 64 / 3)
    keys = [index for index, fragment in enumerate(bench.fragments) if fragment.is_key]
    assert keys[0] == 0
    assert len(keys) == 5
    assert len(bench.fragments) == 50
    assert bench.stream.fragments[0].unix_s > 0


def test_video_that_stops_is_shown_as_a_still_until_the_next_key_frame():
    bench = Bench()
    at_ms = 0.0
    for index in range(30):
        bench.frame(index * 100 / 3, key=index == 0)
    while at_ms < 6000:
        bench.sound(at_ms)
        at_ms += 64 / 3
    for index in range(10):
        bench.frame(6000 + index * 100 / 3, key=index == 5)
    video = bench.samples(VIDEO_TRACK)
    assert is_continuous_for_mse(video)
    stills = [sample for sample in video[30:-5]]
    assert stills
    assert {sample.data for sample in stills} == {video[0].data}
    assert all(sample.sync for sample in stills)
    # It begins where video ended, and audio never gets far ahead of what can be seen.
    assert stills[0].time + stills[0].cts == pytest.approx(START + 90_000, abs=3100)
    shown = [sample.time + sample.cts for sample in video]
    assert shown == sorted(shown)
    assert [sample.time + sample.cts for sample in video[-5:]] == bench.sent[-5:]


def test_a_new_period_begins_after_the_last_one_with_a_key_frame():
    bench = Bench()
    bench.frame(0, key=True)
    bench.frame(33)
    bench.it.finish()
    bench.it.begin(has_video=True, audio=AUDIO, frame_s=1 / 30)
    bench.sound(150)
    bench.frame(166, key=True)
    bench.frame(200)
    times = [sample.time for sample in bench.samples(VIDEO_TRACK)]
    assert times == sorted(set(times))
    assert bench.fragments[2].is_key


def test_fragments_are_framed_as_http_chunks():
    assert http_chunk(b"abc", b"d" * 13) == b"10\r\nabc" + b"d" * 13 + b"\r\n"
    assert Fragment(http_chunk(b"x" * 300), is_key=True).body == b"x" * 300
