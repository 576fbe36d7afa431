"""The progressive file against what the fragments hold, read by two readers that know nothing of the writer."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from airnode.config.sections.hls import HlsSection
from airnode.media.codecs.opus import parse_dops
from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig, MediaEvent, VideoConfig
from airnode.media.recording.fragment_reader import Malformed
from airnode.media.recording.index import BeginEntry, InitEntry, SegmentEntry, SegmentIndex
from airnode.media.recording.progressive import ProgressiveMp4, build_progressive
from tests.support import bmff
from tests.support.mp4 import Mp4Track, read_mp4
from tests.support.publisher import AUDIO, AVC_RECORD, VIDEO, Recorder, Timed, audio, audio_frame, interleave, video

BEGUN = BeginEntry(1, "20261122T091500Z-5f0c2a91", "stream", "node-1", 1_700_000_000.0, 2)
LARGER = VideoConfig("avc", AVC_RECORD[:-1] + b"\1", "avc1.42c01e", 1280, 720, None)
HEVC = VideoConfig("hevc", b"\1" * 23, "hvc1.1.6.L93.B0", 640, 360, None)
AUDIO_44 = AudioConfig(bytes.fromhex("1210"), "mp4a.40.2", 44100, 2)
OPUS = parse_dops(bytes.fromhex("0002013800000000000000")[:11])


def recorded(recorder: Recorder) -> tuple[SegmentIndex, bytes]:
    """What a recorder saw, as the disk would have it."""
    index, media, current = SegmentIndex(BEGUN), b"", ""
    for msn in sorted(recorder.bodies):
        if recorder.maps[msn] != current:
            current = recorder.maps[msn]
            assert index.append(InitEntry(len(media), len(recorder.inits[current])))
            media += recorder.inits[current]
        body = recorder.bodies[msn]
        assert index.append(SegmentEntry(len(media), len(body), 1.0, 0.0, False))
        media += body
    return index, media


def reader(media: bytes):
    return lambda at, size: media[at : at + size]


def whole(made: ProgressiveMp4, media: bytes) -> bytes:
    return made.head + media[made.offset_bytes : made.offset_bytes + made.size_bytes]


def stream(*parts: tuple[tuple[MediaEvent, ...], Iterable[Timed]]) -> Recorder:
    recorder = Recorder(HlsSection(segment_count=100))
    for configs, timed in parts:
        recorder.configure(*configs)
        recorder.push(timed)
    return recorder.finish()


def tracks_of(recorder: Recorder) -> list[Mp4Track]:
    index, media = recorded(recorder)
    return read_mp4(whole(build_progressive(index, reader(media)), media))


def payloads(track: Mp4Track) -> list[bytes]:
    return [sample.data for sample in track.samples]


def test_every_sample_is_in_it_once_with_its_times():
    recorder = stream(((VIDEO, AUDIO), interleave(video(30, 6, cts_ms=66), audio(6))))
    fragments = recorder.samples()
    picture, sound = tracks_of(recorder)
    assert (picture.handler, picture.timescale, sound.handler, sound.timescale) == ("vide", 90_000, "soun", 48_000)
    for track, expected in ((picture, fragments[1]), (sound, fragments[2])):
        start = expected[0].time
        assert [(s.time + start, s.cts, s.sync, s.data) for s in track.samples] == [
            (s.time, s.cts, s.sync, s.data) for s in expected
        ]
        assert [s.duration for s in track.samples[:-1]] == [
            after.time - before.time for before, after in pairwise(expected)
        ]
    assert [n for n, s in enumerate(picture.samples) if s.sync] == list(range(0, 180, 30))


def test_picture_and_sound_begin_together_in_spite_of_composition_offsets():
    recorder = stream(((VIDEO, AUDIO), interleave(video(30, 4, cts_ms=66, start_ms=40), audio(4))))
    fragments = recorder.samples()
    picture, sound = tracks_of(recorder)
    shown = [(fragments[1][0].time + fragments[1][0].cts) / 90_000, fragments[2][0].time / 48_000]
    begins = []
    for track in (picture, sound):
        delay = track.edits[0][0] / 90_000 if track.edits[0][1] == -1 else 0.0
        begins.append(delay + (track.samples[0].cts - track.edits[-1][1]) / track.timescale)
    assert min(begins) == 0.0
    assert begins[0] - begins[1] == pytest.approx(shown[0] - shown[1], abs=0.0001)


def test_negative_composition_offsets_are_kept():
    picture, _ = tracks_of(stream(((VIDEO, AUDIO), interleave(video(30, 3, cts_ms=-20), audio(3)))))
    assert {sample.cts for sample in picture.samples} == {-20 * 90}


def test_another_resolution_is_another_sample_entry():
    recorder = stream(
        ((VIDEO, AUDIO), interleave(video(30, 3), audio(3))),
        ((LARGER,), interleave(video(30, 3, start_ms=3000), audio(3, start_ms=3008))),
    )
    picture, sound = tracks_of(recorder)
    assert [entry.kind for entry in picture.entries] == ["avc1", "avc1"]
    assert len(sound.entries) == 1
    used = [sample.entry for sample in picture.samples]
    assert used == sorted(used)
    assert {1, 2} == set(used)
    assert payloads(picture) == [sample.data for sample in recorder.samples()[1]]
    first_of_second = used.index(2)
    assert picture.samples[first_of_second].sync


def test_another_codec_is_another_track_that_begins_later():
    recorder = stream(
        ((VIDEO,), video(30, 3)),
        ((HEVC,), video(30, 3, start_ms=3000)),
    )
    before, after = (track for track in tracks_of(recorder) if track.entries[0].kind != "mp4a")
    assert [before.entries[0].kind, after.entries[0].kind] == ["avc1", "hvc1"]
    assert before.edits[0][1] != -1
    delay, empty = after.edits[0]
    assert empty == -1
    assert delay / 90_000 == pytest.approx(3.0, abs=0.2)
    assert payloads(before) + payloads(after) == [sample.data for sample in recorder.samples()[1]]


def test_another_sample_rate_stays_in_its_track_without_drift():
    recorder = stream(
        ((AUDIO,), audio(4)),
        ((AUDIO_44,), audio(8, rate=44100, start_ms=4010)),
    )
    (sound,) = tracks_of(recorder)
    assert [sample.entry for sample in sound.samples][:1] == [1]
    assert sound.samples[-1].entry == 2
    second = [sample for sample in sound.samples if sample.entry == 2]
    for n, sample in enumerate(second):
        assert abs(sample.time - second[0].time - n * 1024 * 48000 / 44100) <= 10 * 48
    assert sound.duration / 48000 == pytest.approx(12, abs=0.1)


def without_segment(recorder: Recorder, number: int) -> tuple[list[Mp4Track], dict[int, list[bmff.Sample]]]:
    """Return the tracks of the file without one segment, and the samples of that segment."""
    index, media = recorded(recorder)
    del index.segments[number], index.init_of[number]
    missing = bmff.samples(recorder.bodies[sorted(recorder.bodies)[number]])
    return read_mp4(whole(build_progressive(index, reader(media)), media)), missing


def test_a_picture_lasts_until_a_hole_ends():
    (picture, _), missing = without_segment(stream(((VIDEO, AUDIO), interleave(video(30, 3), audio(3)))), 1)
    assert not {sample.data for sample in missing[1]} & set(payloads(picture))
    longest = max(sample.duration for sample in picture.samples)
    assert longest >= sum(sample.duration for sample in missing[1])
    assert picture.duration / 90_000 == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("config", [AUDIO, AUDIO_44, OPUS])
def test_a_hole_in_the_sound_is_silence_of_the_same_length(config: AudioConfig):
    packets = [(n / 50, audio_frame(n * 20, b"opus%4d" % n)) for n in range(250)]
    sound_in = packets if config is OPUS else audio(5, rate=config.sample_rate)
    recorder = stream(((VIDEO, config), interleave(video(30, 5), sound_in)))
    (_, sound), missing = without_segment(recorder, 2)
    silent = silence(config)
    assert silent
    gone = missing[2]
    filled = [sample for sample in sound.samples if sample.data == silent]
    assert not {sample.data for sample in gone} & set(payloads(sound))
    assert sum(sample.duration for sample in filled) == sum(sample.duration for sample in gone)
    played = len(sound.samples) * config.samples_per_frame
    assert abs(played - sound.duration) <= config.samples_per_frame // 2 + len(sound.samples) * 8


def test_many_short_holes_in_the_sound_do_not_add_up():
    """Chromium ignores durations of sound, and each reconnect leaves a hole of about 0.1 s."""
    parts = [
        ((VIDEO, AUDIO), interleave(video(30, 2, start_ms=2_110 * n), audio(2, start_ms=2_110 * n))) for n in range(20)
    ]
    recorder = Recorder(HlsSection(segment_count=100))
    for configs, timed in parts:
        recorder.packager.restart()
        recorder.configure(*configs)
        recorder.push(timed)
    picture, sound = tracks_of(recorder.finish())
    assert sound.duration / 48_000 == pytest.approx(picture.duration / 90_000, abs=0.1)
    assert abs(len(sound.samples) * 1024 - sound.duration) <= 1024
    assert sum(sample.data == silence(AUDIO) for sample in sound.samples) > 19


def test_a_head_for_more_than_four_gigabytes_has_long_offsets():
    recorder = stream(((VIDEO, AUDIO), interleave(video(30, 3), audio(3))))
    index, media = recorded(recorder)
    hole = 5 << 30
    last = index.segments.pop()
    index.segments.append(
        SegmentEntry(last.offset_bytes + hole, last.size_bytes, last.duration_s, last.start_unix_s, False)
    )

    def read(at: int, size: int) -> bytes:
        return media[at - hole : at - hole + size] if at >= hole else media[at : at + size]

    made = build_progressive(index, read)
    assert made.size_bytes == hole + last.offset_bytes + last.size_bytes - index.segments[0].offset_bytes
    assert b"co64" in made.head
    assert made.head[-16:-8] == b"\0\0\0\1mdat"
    assert int.from_bytes(made.head[-8:], "big") == made.size_bytes + 16


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"\xff" * 64])
def test_what_is_not_a_recording_is_refused(damage: bytes):
    index, media = recorded(stream(((VIDEO,), video(30, 3))))
    at = index.segments[1].offset_bytes
    broken = media[:at] + damage + (media[at + 64 :] if damage else b"")
    with pytest.raises(Malformed):
        build_progressive(index, reader(broken))


def test_nothing_is_recorded_yet():
    with pytest.raises(Malformed):
        build_progressive(SegmentIndex(BEGUN), reader(b""))
