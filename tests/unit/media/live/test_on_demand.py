"""The live feed at rest: no fragments are made while nobody watches, and a viewer who joins sees no difference."""

import itertools

import pytest

from airnode.media.frames import VideoConfig
from airnode.media.live.feed import LINGER_S, LiveLimits
from airnode.media.live.on_demand import HELD_FRAMES
from tests.support.bmff import Sample
from tests.support.livefeed import Room, Viewer, clip
from tests.support.livemp4 import AUDIO as AUDIO_TRACK
from tests.support.livemp4 import VIDEO as VIDEO_TRACK
from tests.support.publisher import AUDIO, VIDEO, Timed, audio, interleave, video

OTHER_SIZE = VideoConfig("avc", bytes.fromhex("0142c01effe1000001"), VIDEO.codecs, 1280, 720)
OTHER_CODEC = VideoConfig("avc", bytes.fromhex("0164001fffe1000000"), "avc1.64001f", 640, 360)


class Broadcast:
    """A room, and the part of a clip that has not been pushed yet."""

    def __init__(self, timed: list[Timed], limits: LiveLimits | None = None) -> None:
        self.room = (Room(limits) if limits else Room()).configure(VIDEO, AUDIO)
        self._rest = timed

    def until(self, at_s: float) -> "Broadcast":
        self.room.push([each for each in self._rest if each[0] < at_s])
        self._rest = [each for each in self._rest if each[0] >= at_s]
        return self

    def follow(self, seconds: float, at_s: float) -> None:
        """Push the first ``seconds`` of another clip at ``at_s``."""
        timed = interleave(video(30, seconds, start_ms=at_s * 1000), audio(seconds, start_ms=at_s * 1000))
        self.room.push([(at_s + sent_s, event) for sent_s, event in timed])


def contiguous(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def is_continuous_for_mse(samples: list[Sample]) -> bool:
    """Return whether no step is a discontinuity for a browser (W3C MSE, coded frame processing)."""
    return all(a.time < b.time <= a.time + 2 * a.duration for a, b in itertools.pairwise(samples))


def assert_plays(viewer: Viewer, frames: list[int]) -> None:
    """Assert that the viewer got exactly these frames, and audio with them, without a hole."""
    assert viewer.frames() == frames
    assert len(viewer.stream.inits) == 1
    assert viewer.stream.fragments[0].key
    assert contiguous(viewer.sequence_numbers())
    pictures, sound = viewer.stream.samples(VIDEO_TRACK), viewer.stream.samples(AUDIO_TRACK)
    assert is_continuous_for_mse(pictures)
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(sound))
    begin_s, end_s = pictures[0].time / 90_000, (pictures[-1].time + pictures[-1].duration) / 90_000
    assert sound[0].time / AUDIO.sample_rate == pytest.approx(begin_s, abs=0.05)
    assert (sound[-1].time + sound[-1].duration) / AUDIO.sample_rate == pytest.approx(end_s, abs=0.15)


def test_no_fragments_are_made_before_the_first_viewer_joins():
    broadcast = Broadcast(clip(12)).until(10.5)
    viewer = Viewer(broadcast.room)
    assert viewer.sequence_numbers()[0] == 1
    broadcast.until(12)
    assert_plays(viewer, list(range(300, 360)))


@pytest.mark.parametrize("cts_ms", [0, 66])
@pytest.mark.parametrize("fps", [15, 30, 60])
def test_a_late_viewer_gets_the_same_frames_as_an_early_one(fps: int, cts_ms: int):
    timed = list(interleave(video(fps, 4, cts_ms=cts_ms), audio(4)))
    eager = Broadcast(timed)
    first = Viewer(eager.until(0.1).room)
    eager.until(4)
    for tenths in range(11, 35, 3):
        late = Broadcast(timed).until(tenths / 10 + 0.05)
        viewer = Viewer(late.room)
        late.until(4)
        assert_plays(viewer, list(range(tenths // 10 * fps, 4 * fps)))
        for track in (VIDEO_TRACK, AUDIO_TRACK):
            theirs = {sample.time + sample.cts: sample.data for sample in first.stream.samples(track)}
            ours = {sample.time + sample.cts: sample.data for sample in viewer.stream.samples(track)}
            assert ours.items() <= theirs.items()


def test_fragments_that_are_made_late_have_the_arrival_times_of_their_frames():
    broadcast = Broadcast(clip(3)).until(2.6)
    broadcast.room.now_s += 100
    arrived_s = [
        each.unix_s - 1_700_000_000 for each in Viewer(broadcast.room).stream.fragments if VIDEO_TRACK in each.tracks
    ]
    assert arrived_s == pytest.approx([2 + index / 30 for index in range(len(arrived_s))], abs=0.001)
    assert len(arrived_s) == 18


def test_two_viewers_long_after_each_other():
    broadcast = Broadcast(clip(60)).until(1.5)
    first = Viewer(broadcast.room)
    broadcast.until(3.2)
    first.leave()
    broadcast.until(50.5)
    second = Viewer(broadcast.room)
    broadcast.until(52)
    assert_plays(first, list(range(30, 96)))
    assert_plays(second, list(range(1500, 1560)))
    between = second.sequence_numbers()[0] - first.sequence_numbers()[-1]
    assert 0 < between < (LINGER_S + 2) * 100 < 47 * 30
    assert second.stream.samples(VIDEO_TRACK)[0].time > first.stream.samples(VIDEO_TRACK)[-1].time


def test_a_viewer_that_joins_right_after_the_last_one_left():
    broadcast = Broadcast(clip(6)).until(1.5)
    first = Viewer(broadcast.room)
    broadcast.until(3.2)
    first.leave()
    second = Viewer(broadcast.room)
    broadcast.until(5)
    assert_plays(second, list(range(90, 150)))
    second.leave()
    broadcast.until(5.3)
    third = Viewer(broadcast.room)
    broadcast.until(6)
    assert_plays(third, list(range(150, 180)))
    assert set(second.sequence_numbers()) & set(first.sequence_numbers())
    assert second.sequence_numbers()[-1] < third.sequence_numbers()[0]


def test_the_fragmenter_rests_again_only_at_a_key_frame():
    broadcast = Broadcast(clip(40, gop=600)).until(1)
    first = Viewer(broadcast.room)
    broadcast.until(2)
    first.leave()
    broadcast.until(19)
    second = Viewer(broadcast.room)
    broadcast.until(20)
    assert_plays(second, list(range(600)))


@pytest.mark.parametrize("before_s", [0.0, 2.5], ids=["never watched", "watched before"])
def test_the_configuration_changes_while_nobody_watches(before_s: float):
    broadcast = Broadcast(clip(12)).until(before_s)
    if before_s:
        Viewer(broadcast.room).leave()
    broadcast.until(11)
    broadcast.room.configure(OTHER_SIZE)
    broadcast.follow(2.5, 11)
    viewer = Viewer(broadcast.room)
    broadcast.follow(0.5, 13.5)
    assert viewer.frames() == [*range(60, 75), *range(15)]
    assert len(viewer.stream.inits) == 1
    assert OTHER_SIZE.record in viewer.stream.inits[0][1]
    assert is_continuous_for_mse(viewer.stream.samples(VIDEO_TRACK))
    assert contiguous(viewer.sequence_numbers())


def test_the_codecs_change_while_nobody_watches():
    broadcast = Broadcast(clip(4)).until(3)
    broadcast.room.configure(OTHER_CODEC)
    assert broadcast.room.feed.content_type == 'video/mp4; codecs="avc1.64001f,mp4a.40.2"'
    assert Viewer(broadcast.room).frames() == []
    broadcast.follow(1.2, 3)
    viewer = Viewer(broadcast.room)
    assert viewer.frames() == list(range(30, 36))
    assert OTHER_CODEC.record in viewer.stream.inits[0][1]


def test_a_viewer_gets_the_last_frames_of_a_publisher_that_has_gone():
    broadcast = Broadcast(clip(3), LiveLimits(fragment_ms=100)).until(2.45)
    broadcast.room.packager.finish()
    viewer = Viewer(broadcast.room)
    assert viewer.frames() == list(range(60, 74))
    broadcast.room.packager.restart()
    broadcast.room.configure(VIDEO, AUDIO)
    broadcast.room.push([(3 + at_s, event) for at_s, event in clip(1)])
    assert viewer.frames() == [*range(60, 74), *range(30)][: len(viewer.frames())]
    assert len(viewer.frames()) > 40


def test_a_viewer_of_audio_without_video_can_begin_at_any_time():
    room = Room().configure(AUDIO)
    room.push(audio(30))
    viewer = Viewer(room)
    heard = viewer.stream.samples(AUDIO_TRACK)
    assert 0 < sum(sample.duration for sample in heard) / AUDIO.sample_rate < 0.6
    room.push([(31 + at_s, event) for at_s, event in audio(2, start_ms=30_000)])
    heard = viewer.stream.samples(AUDIO_TRACK)
    assert sum(sample.duration for sample in heard) / AUDIO.sample_rate > 2
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(heard))
    viewer.leave()
    room.push([(40 + at_s, event) for at_s, event in audio(20, start_ms=32_000)])
    later = Viewer(room)
    assert later.sequence_numbers()[0] == viewer.sequence_numbers()[-1] + 1


def test_a_late_viewer_gets_silence_and_stills():
    silent = Broadcast(list(interleave(video(30, 8), audio(2.2)))).until(7.5)
    sound = Viewer(silent.room).stream.samples(AUDIO_TRACK)
    assert sum(sample.duration for sample in sound) / AUDIO.sample_rate == pytest.approx(0.3, abs=0.2)
    held = Broadcast(list(interleave(video(30, 2.5), audio(40)))).until(39)
    pictures = Viewer(held.room).stream.samples(VIDEO_TRACK)
    assert {int.from_bytes(sample.data[:4], "big") for sample in pictures} == {60}
    assert pictures[-1].time / 90_000 > 10 + 37


def test_held_frames_are_bounded(monkeypatch: pytest.MonkeyPatch):
    long = Broadcast(list(interleave(video(30, 2.5), audio(120)))).until(119)
    assert HELD_FRAMES < 119 * 47
    viewer = Viewer(long.room)
    assert viewer.sequence_numbers()[0] > 1
    assert set(viewer.frames()) == {60}
    monkeypatch.setattr("airnode.media.live.on_demand.HELD_BYTES", 100_000)
    fat = Broadcast(clip(9, gop=150, size=2_000)).until(4)
    assert Viewer(fat.room).frames() == list(range(120))
    fat.until(6)
    late = Viewer(fat.room)
    assert late.frames() == list(range(150, 180))
    assert late.sequence_numbers()[0] > 150
