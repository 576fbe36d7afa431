"""Initialization sections and fragments, byte by byte, through a reader that shares no code with the writer."""

from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.media.cmaf.bmff import Track, init_segment
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.frames import AudioConfig, VideoConfig
from tests.support import bmff

VIDEO = VideoConfig("avc", b"avcC-record", "avc1.64001f", 1280, 720, 30.0)
AUDIO = AudioConfig(bytes.fromhex("1190"), "mp4a.40.2", 48000, 2)


def test_init_segment_of_both_tracks():
    file = bmff.root(init_segment([Track(1, VIDEO, 2_500_000), Track(2, AUDIO)]))
    assert [box.kind for box in file.children] == ["ftyp", "moov"]
    moov = file.one("moov")
    assert [box.kind for box in moov.children] == ["mvhd", "trak", "trak", "mvex"]
    assert unpack_from(">I", moov.one("mvhd").body, 96)[0] == 3
    video, audio = moov.all("trak")
    assert unpack_from(">I", video.one("mdia/mdhd").body, 12)[0] == 90_000
    assert unpack_from(">I", audio.one("mdia/mdhd").body, 12)[0] == 48_000
    assert unpack_from(">II", video.one("tkhd").body, 76) == (1280 << 16, 720 << 16)
    assert unpack_from(">H", audio.one("tkhd").body, 36)[0] == 0x100
    assert [unpack_from(">I", trex.body, 4)[0] for trex in moov.all("mvex/trex")] == [1, 2]
    assert not moov.all("trak/edts")


@pytest.mark.parametrize(
    ("codec", "entry", "record"), [("avc", "avc1", "avcC"), ("hevc", "hvc1", "hvcC"), ("av1", "av01", "av1C")]
)
def test_visual_sample_entries(codec, entry, record):
    config = VideoConfig(codec, b"the record", "x", 640, 360)
    (box,) = bmff.root(init_segment([Track(1, config)])).one("moov/trak/mdia/minf/stbl/stsd").children
    assert box.kind == entry
    assert unpack_from(">HH", box.body, 24) == (640, 360)
    assert [child.kind for child in box.children] == [record, "pasp"]
    assert box.children[0].body == b"the record"


def test_btrt_where_the_bitrate_is_known():
    (entry,) = bmff.root(init_segment([Track(1, VIDEO, 2_500_000)])).one("moov/trak/mdia/minf/stbl/stsd").children
    assert unpack_from(">III", entry.one("btrt").body) == (0, 2_500_000, 2_500_000)


@pytest.mark.parametrize(("rate", "field"), [(48000, 48000 << 16), (96000, 0)])
def test_audio_sample_entry_and_esds(rate, field):
    config = AudioConfig(b"\x11\x90" * 70, "mp4a.40.2", rate, 6)
    (entry,) = bmff.root(init_segment([Track(2, config)])).one("moov/trak/mdia/minf/stbl/stsd").children
    assert unpack_from(">H", entry.body, 16)[0] == 6
    assert unpack_from(">I", entry.body, 24)[0] == field
    esds = entry.one("esds").body[4:]
    tags = dict(descriptors(esds))
    assert list(tags) == [3, 4, 5, 6]
    assert tags[4][:2] == b"\x40\x15"
    # 140 bytes need the two-byte form of the length.
    assert tags[5] == config.record
    assert tags[6] == b"\x02"


def descriptors(data):
    """(tag, body) of all descriptors, nested ones too (14496-1 7.2.2)."""
    inside = {3: 3, 4: 13}
    at = 0
    while at < len(data):
        tag, size = data[at], 0
        at += 1
        while True:
            size = size << 7 | data[at] & 0x7F
            at += 1
            if not data[at - 1] & 0x80:
                break
        body = data[at : at + size]
        at += size
        yield tag, body
        if tag in inside:
            yield from descriptors(body[inside[tag] :])


def test_fragment_vector():
    run = TrackRun(1, 900_000, video=True)
    run.add_video(b"key!", 3000, 6000, is_key=True)
    run.add_video(b"b", 3003, -3000, is_key=False)
    assert write_fragment(7, [run]) == bytes.fromhex(
        "00000078 6d6f6f66 00000010 6d666864 00000000 00000007"
        " 00000060 74726166 00000010 74666864 00020000 00000001"
        " 00000014 74666474 01000000 00000000 000dbba0"
        " 00000034 7472756e 01000f01 00000002 00000080"
        " 00000bb8 00000004 02000000 00001770"
        " 00000bbb 00000001 01010000 fffff448"
        " 0000000d 6d646174 6b657921 62"
    )


samples = st.lists(
    st.tuples(st.binary(max_size=50), st.integers(1, 2**31), st.integers(-(2**31), 2**31 - 1), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(samples, samples, st.integers(0, 2**63), st.integers(0, 2**40))
def test_a_fragment_is_read_back_as_it_was_written(pictures, sounds, base, sequence):
    video, audio = TrackRun(1, base, video=True), TrackRun(2, base + 5, video=False)
    for data, duration, cts, key in pictures:
        video.add_video(data, duration, cts, is_key=key)
    for data, duration, _, _ in sounds:
        audio.add_audio(data, duration)
    for runs in ([video], [audio], [video, audio]):
        read = bmff.samples(write_fragment(sequence, runs))
        if video in runs:
            assert [(s.data, s.duration, s.cts, s.sync) for s in read[1]] == pictures
            assert read[1][0].time == base
        if audio in runs:
            assert [(s.data, s.duration, s.cts, s.sync) for s in read[2]] == [(d, t, 0, True) for d, t, _, _ in sounds]


def test_a_hole_in_a_run_makes_the_frame_before_it_longer():
    for video in (True, False):
        run = TrackRun(1, 0, video=video)
        for _ in range(2):
            if video:
                run.add_video(b"x", 100, 0, is_key=True)
            else:
                run.add_audio(b"x", 100)
        run.stretch_last(23)
        assert [s.duration for s in bmff.samples(write_fragment(1, [run]))[1]] == [100, 123]
        assert run.duration_ticks == 223
