"""Playlists as gohlslib writes them, and the items that are fetched."""

import pytest

from airnode.media.mediamtx.playlist import (
    MuxerRestarted,
    PlaylistCursor,
    parse_media_playlist,
    parse_multivariant_playlist,
)

MULTIVARIANT = """#EXTM3U
#EXT-X-VERSION:10
#EXT-X-INDEPENDENT-SEGMENTS

#EXT-X-MEDIA:TYPE="AUDIO",GROUP-ID="audio",NAME="audio3",AUTOSELECT=YES,URI="audio3_stream.m3u8"
#EXT-X-MEDIA:TYPE="AUDIO",GROUP-ID="audio",NAME="audio2",AUTOSELECT=YES,DEFAULT=YES,URI="audio2_stream.m3u8"

#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.42c028,mp4a.40.2",RESOLUTION=1920x1080,AUDIO="audio"
video1_stream.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="avc1.42c028"
other.m3u8
"""


def listing(
    first: int, segments: list[tuple[str, list[str]]], parts: list[str], init: str = "i0.mp4", blocks: str = "YES"
):
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD={blocks}"]
    lines += [f"#EXT-X-MEDIA-SEQUENCE:{first}", f'#EXT-X-MAP:URI="{init}"']
    for name, segment_parts in segments:
        if name.startswith("gap"):
            lines.append("#EXT-X-GAP")
        lines += [f'#EXT-X-PART:DURATION=0.2,URI="{part}",INDEPENDENT=YES' for part in segment_parts]
        lines += ["#EXTINF:1,", name]
    lines += [f'#EXT-X-PART:DURATION=0.2,URI="{part}"' for part in parts]
    lines += ['#EXT-X-PRELOAD-HINT:TYPE=PART,URI="next.mp4"']
    return parse_media_playlist("\n".join(lines) + "\n")


def names(cursor: PlaylistCursor, playlist) -> list[str]:
    return [item.name for item in cursor.take(playlist)]


GAPS = [("gap.mp4", [])] * 7


def test_the_first_variant_and_its_default_audio_are_read():
    assert parse_multivariant_playlist(MULTIVARIANT) == ("video1_stream.m3u8", "audio2_stream.m3u8")


def test_audio_alone_is_one_rendition():
    text = (
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",DEFAULT=YES\n#EXT-X-STREAM-INF:AUDIO="a"\naudio1_stream.m3u8\n'
    )
    assert parse_multivariant_playlist(text) == ("audio1_stream.m3u8",)


@pytest.mark.parametrize("text", ["", "404", "#EXTM3U\n", "#EXTM3U\n#EXT-X-STREAM-INF:A=1\n"])
def test_other_text_is_no_multivariant_playlist(text: str):
    with pytest.raises(ValueError, match="playlist"):
        parse_multivariant_playlist(text)


@pytest.mark.parametrize("text", ["", "nothing", "#EXTM3U\n", "#EXTM3U\n#EXT-X-TARGETDURATION:x\n"])
def test_other_text_is_no_media_playlist(text: str):
    with pytest.raises(ValueError, match=r"playlist|invalid literal"):
        parse_media_playlist(text)


def test_gap_segments_count_though_they_share_a_name():
    found = listing(0, GAPS, ["p0", "p1"])
    assert found.next == (7, 2)
    assert PlaylistCursor().query(found) == {}


def test_reading_starts_with_the_newest_segment_and_continues_part_by_part():
    cursor = PlaylistCursor()
    assert names(cursor, listing(0, GAPS, ["p0"])) == ["p0"]
    assert cursor.query(listing(0, GAPS, ["p0"])) == {"_HLS_msn": "7", "_HLS_part": "1"}
    assert names(cursor, listing(0, GAPS, ["p0", "p1"])) == ["p1"]
    closed = listing(1, [*GAPS[1:], ("s7", ["p0", "p1", "p2"])], [])
    assert names(cursor, closed) == ["p2"]
    assert cursor.query(closed) == {"_HLS_msn": "8", "_HLS_part": "0"}
    assert names(cursor, closed) == []


def test_reading_starts_at_the_start_of_a_segment():
    assert names(PlaylistCursor(), listing(4, [("s4", []), ("s5", ["p5"]), ("s6", ["p6", "p7"])], [])) == ["p6", "p7"]
    assert names(PlaylistCursor(), listing(4, [("s4", []), ("s5", ["p5"])], ["p6"])) == ["p6"]
    assert names(PlaylistCursor(), listing(4, [("s4", []), ("s5", [])], [], blocks="NO")) == ["s5"]


def test_a_slow_reader_gets_whole_segments_and_counts_lost_ones():
    cursor = PlaylistCursor()
    cursor.take(listing(3, [("s3", ["p3"])], []))
    assert names(cursor, listing(4, [("s4", []), ("s5", ["p5"])], ["p6"])) == ["s4", "p5", "p6"]
    assert cursor.lost_segments == 0
    assert names(cursor, listing(9, [("s9", ["p9"])], [])) == ["p9"]
    assert cursor.lost_segments == 3


def test_a_smaller_media_sequence_means_a_restarted_muxer():
    cursor = PlaylistCursor()
    cursor.take(listing(30, [("s30", ["p30"])], ["p31"]))
    with pytest.raises(MuxerRestarted):
        cursor.take(listing(0, GAPS, ["q0"]))


def test_each_item_has_its_initialization_section():
    text = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:5\n"
        '#EXT-X-MAP:URI="a.mp4"\n#EXT-X-PART:DURATION=1,URI="p1"\n#EXTINF:1,\ns5\n'
        '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="b.mp4"\n#EXT-X-PART:DURATION=1,URI="p2"\n'
    )
    cursor = PlaylistCursor()
    cursor.take(listing(4, [("s4", ["p0"])], []))
    items = cursor.take(parse_media_playlist(text))
    assert [(item.name, item.init) for item in items] == [
        ("p1", "a.mp4"),
        ("p2", "b.mp4"),
    ]


def test_items_have_the_durations_of_their_parts():
    text = "\n".join(
        (
            "#EXTM3U",
            "#EXT-X-TARGETDURATION:1",
            '#EXT-X-MAP:URI="init.mp4"',
            '#EXT-X-PART:DURATION=0.20000,URI="a.mp4",INDEPENDENT=YES',
            '#EXT-X-PART:DURATION=0.15000,URI="b.mp4"',
            "#EXTINF:0.35000,",
            "seg.mp4",
            '#EXT-X-PART:DURATION=0.20000,URI="c.mp4",INDEPENDENT=YES',
        )
    )
    found = PlaylistCursor().take(parse_media_playlist(text))
    assert [(item.name, item.duration_s) for item in found] == [("c.mp4", 0.2)]
    assert parse_media_playlist(text).segments[0].duration_s == 0.35
