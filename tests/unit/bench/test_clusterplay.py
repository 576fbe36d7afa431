"""The model by which the cluster benchmark counts stalls, and its reading of what nodes send."""

from struct import pack

import pytest

from tests.bench.clusterplay import Playback, first_parts, producer_time, read_listing

PLAYLIST = b"""#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,HOLD-BACK=3.0,PART-HOLD-BACK=0.600
#EXT-X-PART-INF:PART-TARGET=0.200
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:1.00000,
s7.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:01.000Z
#EXT-X-PART:DURATION=0.50000,URI="s8_part0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="s8_part1.mp4"
#EXTINF:1.00000,
s8.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z
#EXT-X-PART:DURATION=0.20000,URI="s9_part0.mp4",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="s9_part1.mp4"
"""
NEW_YEAR = 1767225600.0


def playing(aim_s: float = 0.2) -> Playback:
    made = Playback(aim_s)
    made.begin(100.0, 0.0)
    made.fed(100.4, 0.0)
    return made


def test_a_fed_viewer_never_stalls_and_stays_as_far_behind():
    viewer = playing()
    for step in range(1, 50):
        viewer.fed(100.4 + step * 0.2, step * 0.2)
        viewer.note(100.4 + step * 0.2)
    assert (viewer.stalls, viewer.stalled_s, viewer.jumps) == (0, 0, 0)
    assert list(viewer.behind_s) == pytest.approx([0.4] * 49)


def test_a_stall_is_the_position_at_the_end_of_the_buffer_and_costs_what_it_lasts():
    viewer = playing()
    viewer.fed(100.7, 1.0)  # there was media for 0.4 s
    assert viewer.stalls == 1
    assert viewer.stalled_s == pytest.approx(0.6)
    viewer.fed(101.5, 1.1)  # it went on with 0.3 s in hand at 1.0
    assert viewer.stalls == 1
    viewer.note(101.1)
    assert viewer.behind_s[-1] == pytest.approx(0.6)


def test_too_little_is_no_reason_to_go_on():
    viewer = playing(aim_s=0.2)
    viewer.fed(100.5, 1.0)
    viewer.advance(2.0)
    assert viewer.stalls == 1
    assert viewer.stalled_s == pytest.approx(1.6)


def test_a_silent_node_shows_without_anything_coming():
    viewer = playing()
    viewer.advance(5.0)
    viewer.advance(6.0)
    assert viewer.stalls == 1
    assert viewer.stalled_s == pytest.approx(5.6)
    viewer.reset()
    viewer.advance(7.0)
    assert viewer.stalled_s == pytest.approx(1.0)


def test_media_that_was_left_out_is_a_jump():
    viewer = playing()
    viewer.fed(110.0, 0.1)
    assert viewer.jumps == 1
    viewer.note(110.0)
    assert viewer.behind_s[-1] == pytest.approx(0.3)


def test_a_playlist_is_read_as_players_do():
    listing = read_listing(PLAYLIST)
    assert (listing.msn, listing.part, listing.init, listing.hold_back_s) == (9, 1, "init0.mp4", 0.6)
    assert [part.name for part in listing.parts] == ["s8_part0.mp4", "s8_part1.mp4", "s9_part0.mp4"]
    assert [part.end_s - NEW_YEAR for part in listing.parts] == pytest.approx([1.5, 2.0, 2.2])
    at_s, parts = first_parts(listing)
    assert at_s - NEW_YEAR == pytest.approx(1.6)
    assert [part.name for part in parts] == [part.name for part in listing.parts]


def test_a_delta_update_counts_what_it_leaves_out():
    delta = PLAYLIST.replace(b'#EXT-X-MAP:URI="init0.mp4"\n', b"#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n")
    assert read_listing(delta).msn == 12


def test_the_last_producer_time_counts():
    def box(unix_s: int, media_s: float) -> bytes:
        return pack(">I4sIIQQ", 32, b"prft", 1 << 24, 1, (unix_s + 2_208_988_800) << 32, int(media_s * 90_000))

    data = bytearray(b"10\r\n" + box(1000, 1) + b"moof" + box(2000, 2.5) + b"moof")
    assert producer_time(data, len(data)) == (2000, 2.5)
    assert producer_time(data, len(data) - 8) is None  # the last is cut: it counts with the next read
    assert producer_time(bytearray(b"moofmdat"), 8) is None
