"""The index file: what a crash leaves, and the playlist that is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.media.recording.index import (
    BeginEntry,
    EndEntry,
    Entry,
    InitEntry,
    SegmentEntry,
    SegmentIndex,
    encode,
    parse,
)
from airnode.media.recording.playlist import lookup, render
from tests.support.hls import read_media

BEGUN = BeginEntry(1, "20261122T091500Z-5f0c2a91", "stream", "node-1", 1_700_000_000.0, 2)
ENTRIES: list[Entry] = [
    BEGUN,
    InitEntry(0, 100),
    SegmentEntry(100, 1000, 1.0, 1_700_000_000.0, False),
    SegmentEntry(1100, 1000, 2.0, 1_700_000_001.0, False),
    InitEntry(2100, 120),
    SegmentEntry(2220, 900, 1.5, 1_700_000_010.0, True),
]
END = EndEntry("finished", 1_700_000_012.0, 3, 4.5, 3120)
FILE = b"".join(encode(entry) for entry in ENTRIES)
MEDIA_BYTES = 3120


def built(*more: Entry) -> SegmentIndex:
    index = SegmentIndex(BEGUN)
    for entry in (*ENTRIES[1:], *more):
        assert index.append(entry)
    return index


def test_what_was_written_is_read_again():
    index, good = parse(FILE + encode(END), MEDIA_BYTES)
    assert index is not None
    assert good == len(FILE + encode(END))
    assert (index.begun, index.segments, index.ended) == (BEGUN, [ENTRIES[2], ENTRIES[3], ENTRIES[5]], END)
    assert (index.init_of, index.duration_s, index.size_bytes) == ([0, 0, 1], 4.5, MEDIA_BYTES)
    assert index.end("finished", END.ended_at) == END


@pytest.mark.parametrize("cut", range(1, len(FILE)))
def test_a_torn_tail_costs_no_whole_line(cut: int):
    index, good = parse(FILE[:cut], MEDIA_BYTES)
    lines = FILE[:cut].count(b"\n")
    assert good == (FILE[:cut].rfind(b"\n") + 1)
    assert (index is None) == (lines == 0)
    if index is not None:
        assert len(index.inits) + len(index.segments) + 1 == lines


@given(st.binary(max_size=200), st.integers(0, len(FILE)))
def test_garbage_behind_or_inside_is_never_believed(garbage: bytes, at: int):
    index, good = parse(FILE[:at] + garbage, MEDIA_BYTES)
    assert good <= at + len(garbage)
    if index is not None:
        assert parse((FILE[:at] + garbage)[:good], MEDIA_BYTES)[1] == good
        assert index.size_bytes <= MEDIA_BYTES


def test_a_line_about_media_that_never_reached_the_disk_is_not_believed():
    index, good = parse(FILE + encode(END), MEDIA_BYTES - 1)
    assert index is not None
    assert len(index.segments) == 2
    assert good == len(b"".join(encode(entry) for entry in ENTRIES[:5]))


def test_entries_that_contradict_what_is_there_end_it():
    index = built()
    for wrong in (
        SegmentEntry(0, 10, 1.0, 0.0, False),
        SegmentEntry(5000, 10, 0.0, 0.0, False),
        InitEntry(5000, 0),
        BEGUN,
    ):
        assert not index.append(wrong)
    assert not SegmentIndex(BEGUN).append(SegmentEntry(0, 10, 1.0, 0.0, False)), (
        "a segment needs an initialization section"
    )
    index.append(END)
    assert not index.append(InitEntry(5000, 10))


# -- playlist ---------------------------------------------------------------------------------------------------------


def test_the_playlist_while_it_is_made_and_afterwards():
    text = render(built(), 1_700_000_013.0).decode()
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in text
    assert "#EXT-X-ENDLIST" not in text
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert text.count("#EXT-X-MAP") == 2
    assert text.index('URI="init1.mp4"') > text.index("seg1.mp4")
    assert text.count("#EXT-X-PROGRAM-DATE-TIME") == 2
    media = read_media(text.encode())
    assert [segment.uri for segment in media.segments] == ["seg0.mp4", "seg1.mp4", "seg2.mp4"]
    assert (media.kind, media.ended, media.segments[2].discontinuity) == ("EVENT", False, True)
    just_ended = render(built(END), END.ended_at + 1).decode()
    assert just_ended == text + "#EXT-X-ENDLIST\n", "a player that follows must see nothing change but the end"
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in render(built(END), END.ended_at + 61).decode()


def test_the_target_duration_covers_every_segment():
    index = built(SegmentEntry(4000, 10, 3.6, 0.0, False))
    assert "#EXT-X-TARGETDURATION:4\n" in render(index, 0.0).decode()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("seg0.mp4", ENTRIES[2]),
        ("seg2.mp4", ENTRIES[5]),
        ("init1.mp4", ENTRIES[4]),
        ("seg3.mp4", None),
        ("seg01.mp4", None),
        ("seg-1.mp4", None),
        ("init2.mp4", None),
        ("../seg0.mp4", None),
        ("seg0.mp4\n", None),
        ("seg٣.mp4", None),
        ("", None),
    ],
)
def test_names(name: str, found: Entry | None):
    assert lookup(built(), name) == found
