"""live.mp4 taken apart: what goes in comes out, however it is cut."""

import random

import pytest

from airnode.media.frames import Frame
from airnode.media.live.fragmenter import Fragment, Fragmenter, http_chunk
from airnode.media.live.splitter import LiveSplitter
from airnode.media.relay.upstream import codecs_of
from tests.support.publisher import AUDIO

VIDEO_INIT = b"\0\0\0\x08ftyp" + b"\0\0\0\x10moovvide----"
AUDIO_INIT = b"\0\0\0\x08ftyp" + b"\0\0\0\x10moovsoun----"


def fragments(count: int = 40) -> list[Fragment]:
    made: list[Fragment] = []
    maker = Fragmenter(0, made.append)
    maker.begin(has_video=True, audio=None, frame_s=1 / 30)
    for index in range(count):
        maker.add(Frame("video", index * 3000, 0, b"frame %d" % index, index % 10 == 0, float(index)))
    maker.finish()
    return made


@pytest.mark.parametrize("seed", range(10))
def test_pieces_equal_the_joined_fragments(seed: int):
    made = fragments()
    stream = VIDEO_INIT + b"".join(each.body for each in made[:20]) + VIDEO_INIT
    stream += b"".join(each.body for each in made[20:])
    splitter, pieces, at, cut = LiveSplitter(), [], 0, random.Random(seed)
    while at < len(stream):
        size = cut.choice((1, 3, 7, 100, 1000))
        pieces += splitter.feed(stream[at : at + size])
        at += size
    assert [index for index, piece in enumerate(pieces) if piece.fragment is None] == [0, 21]
    assert pieces[0].init == VIDEO_INIT
    found = [piece for piece in pieces if piece.fragment is not None]
    assert [piece.fragment for piece in found] == made
    assert [piece.fragment.is_key for piece in found if piece.fragment] == [index % 10 == 0 for index in range(40)]
    times = [piece.dts_ticks for piece in found]
    assert times == sorted(set(times))


def test_sound_in_fragments_of_its_own_is_no_entry_point():
    made: list[Fragment] = []
    maker = Fragmenter(0, made.append)
    maker.begin(has_video=True, audio=AUDIO, frame_s=1 / 30)
    maker.add(Frame("video", 0, 0, b"picture", True, 0.0))
    for index in range(3):
        dts_samples = index * 1024
        maker.add(Frame("audio", dts_samples * 90_000 // 48_000, 0, b"sound", True, 0.0, dts_samples, 1024))
    pieces = LiveSplitter().feed(VIDEO_INIT + b"".join(each.body for each in made))[1:]
    assert [piece.fragment for piece in pieces] == made
    assert [piece.dts_ticks for piece in pieces] == [0, -1, -1, -1]
    assert [piece.fragment.is_key for piece in pieces if piece.fragment] == [True, False, False, False]


def test_audio_alone_has_entry_points_at_intervals():
    body = fragments(1)[0].body
    splitter = LiveSplitter()
    pieces = splitter.feed(AUDIO_INIT + body * 60)
    keys = [piece.fragment.is_key for piece in pieces if piece.fragment]
    assert keys[0]
    assert 3 <= sum(keys) <= 10


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x07ftyp",
        b"\x7f\xff\xff\xffmoof",
        b"\0\0\0\x08mdat",
        b"\0\0\0\x10moof\0\0\0\x20traf" + b"\0\0\0\x08mdat",
        b"\0\0\0\x10moof\0\0\0\x08traf" + b"\0\0\0\x08mdat",
        b"\0\0\0\x18moof\0\0\0\x10traf\0\0\0\x08tfhd" + b"\0\0\0\x08mdat",
    ],
)
def test_foreign_bytes_raise_value_error(data: bytes):
    with pytest.raises(ValueError, match=r"."):
        LiveSplitter().feed(VIDEO_INIT + data)


def test_random_bytes_never_raise_anything_else():
    chance = random.Random(1)
    stream = VIDEO_INIT + b"".join(each.body for each in fragments(5))
    for _ in range(2000):
        broken = bytearray(stream)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        splitter = LiveSplitter()
        try:
            splitter.feed(bytes(broken))
        except ValueError:
            continue


def test_codecs_are_read_from_the_content_type():
    assert codecs_of('video/mp4; codecs="avc1.42c01e,mp4a.40.2"') == ("avc1.42c01e", "mp4a.40.2")
    assert codecs_of("video/mp4") == ()
    assert http_chunk(b"a") == b"1\r\na\r\n"
