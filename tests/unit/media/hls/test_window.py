"""The live window: names, blocking reload, delta updates, retention."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.config.sections.hls import HlsSection
from airnode.media.hls.media_store import Found
from airnode.media.hls.window import BadRequest, Pending, Ready, VariantInfo, Wait, Window
from tests.support.hls import PlaylistError, read_media, read_multivariant
from tests.support.hls_history import apply_delta
from tests.support.publisher import AUDIO, VIDEO, Recorder, arriving, audio, interleave, video

INFO = VariantInfo(("avc1.64001f",), 640, 360, 30.0)


def make(segments=3, parts=5, open_parts=2, *, low_latency=True, count=7, clock=time.monotonic):
    """A window with segments of ``parts`` parts of 200 ms; segment n starts at unix time n."""
    window = Window(segment_count=count, low_latency=low_latency, clock=clock)
    window.begin_epoch()
    window.begin_period(b"init", INFO, discontinuity=False)
    window.set_part_target(0.202)
    first = count if low_latency else 0
    for index in range(segments + 1):
        window.begin_segment(1_700_000_000.0 + index, independent=True)
        for part in range(parts if index < segments else open_parts):
            window.add_part(f"{first + index}.{part} ".encode() * 10, 0.2, independent=part == 0)
        if index == 0:
            window.end_segment()
            window.freeze_target_duration(2)
    return window


def test_nothing_is_served_before_the_target_duration_is_known():
    window = Window()
    assert not window.ready
    assert window.resolve_reload(None) == Wait() == window.resolve_reload(5, 0)
    assert window.lookup("anything.mp4") is None
    with pytest.raises(RuntimeError):
        window.media_playlist()
    with pytest.raises(RuntimeError):
        window.multivariant_playlist()


def test_the_target_duration_cannot_change():
    with pytest.raises(RuntimeError):
        make().freeze_target_duration(3)


def test_names_cannot_be_guessed_and_give_the_right_bodies():
    window = make()
    media = read_media(window.media_playlist())
    segment = media.segments[-1]
    assert re.fullmatch(r"[0-9a-f]{12}_seg9\.mp4", segment.uri)
    found = window.lookup(segment.uri)
    assert isinstance(found, Found)
    assert found.content_type == "video/mp4"
    parts = [window.lookup(part.uri) for part in segment.parts]
    assert b"".join(found.body) == b"".join(part.body[0] for part in parts)
    assert found.size_bytes == sum(part.size_bytes for part in parts)
    assert window.lookup(segment.map_uri).body == (b"init",)
    assert window.lookup(segment.uri + "x") is None
    assert window.lookup("") is None


def test_parts_are_stored_once():
    window = make()
    segment = read_media(window.media_playlist()).segments[-1]
    whole = window.lookup(segment.uri).body
    assert all(window.lookup(part.uri).body[0] is piece for part, piece in zip(segment.parts, whole, strict=True))


def test_a_hinted_part_is_pending_and_keeps_its_name_even_in_the_next_segment():
    window = make()
    hint = read_media(window.media_playlist()).hint
    assert window.lookup(hint) == Pending()
    window.begin_segment(1_700_000_005.0, independent=True)
    assert window.lookup(hint) == Pending()
    window.add_part(b"new", 0.2, independent=True)
    assert window.lookup(hint).body == (b"new",)


def test_a_hint_ends_with_its_publisher_and_with_the_stream():
    window = make()
    hint = read_media(window.media_playlist()).hint
    window.begin_epoch()
    assert window.lookup(hint) is None
    hint = read_media(window.media_playlist()).hint
    assert window.lookup(hint) == Pending()
    window.end()
    assert window.lookup(hint) is None
    assert b"#EXT-X-ENDLIST" in window.media_playlist()


def test_all_viewers_get_the_same_bytes_object():
    window = make()
    assert window.media_playlist() is window.media_playlist()
    before = window.media_playlist()
    window.add_part(b"x", 0.2, independent=False)
    assert window.media_playlist() is not before


def test_listeners_are_called_for_every_part_until_they_are_removed():
    window = make()
    heard = []
    remove = window.add_listener(lambda: heard.append(window.version))
    window.add_part(b"x", 0.2, independent=False)
    window.notify()
    window.notify()
    assert heard == [window.version]
    remove()
    window.add_part(b"x", 0.2, independent=False)
    window.notify()
    assert len(heard) == 1


# Segments 7, 8, 9 are finished with five parts each; 10 is open with two.
@pytest.mark.parametrize(
    ("msn", "part", "answer"),
    [
        (None, None, Ready),
        (None, 0, BadRequest),
        (-1, None, BadRequest),
        (9, -1, BadRequest),
        (0, None, Ready),
        (6, 3, Ready),
        (7, None, Ready),
        (9, None, Ready),
        (9, 4, Ready),
        (9, 5, Ready),
        (9, 99, Ready),
        (8, 99, Ready),
        (10, 0, Ready),
        (10, 1, Ready),
        (10, 2, Wait),
        (10, 16, Wait),
        (10, 17, BadRequest),
        (10, None, Wait),
        (11, 0, Wait),
        (11, None, Wait),
        (12, None, Wait),
        (11, 15, BadRequest),
        (13, None, BadRequest),
        (13, 0, BadRequest),
        (10**12, 0, BadRequest),
    ],
)
def test_blocking_reload(msn, part, answer):
    assert isinstance(make().resolve_reload(msn, part), answer)


def test_a_part_after_the_end_is_part_0_of_the_next_segment():
    window = make(open_parts=0)
    assert window.resolve_reload(9, 5) == Wait() == window.resolve_reload(10, 0)
    window.begin_segment(1_700_000_009.0, independent=True)
    window.add_part(b"x", 0.2, independent=True)
    assert window.resolve_reload(9, 5) == Ready() == window.resolve_reload(10, 0)


def test_a_reload_is_answered_when_the_requested_part_is_listed():
    window = make()
    assert window.resolve_reload(10, 2) == Wait()
    window.add_part(b"x", 0.2, independent=False)
    assert window.resolve_reload(10, 2) == Ready()
    assert window.resolve_reload(10) == Wait()
    window.end_segment()
    assert window.resolve_reload(10) == Ready()


def test_no_request_waits_after_the_end_of_the_stream():
    window = make()
    window.end()
    assert window.resolve_reload(11, 0) == Ready() == window.resolve_reload(99)


@given(st.integers(-5, 40), st.one_of(st.none(), st.integers(-5, 40)), st.integers(0, 4), st.integers(0, 6))
def test_every_wait_ends_and_ready_means_that_the_part_is_listed(msn, part, segments, open_parts):
    window = make(segments + 1, open_parts=open_parts)
    answer = window.resolve_reload(msn, part)
    media = read_media(window.media_playlist())
    if isinstance(answer, Ready):
        last = media.media_sequence + len(media.segments) - 1
        assert msn <= last + (1 if part is not None and open_parts else 0)
    elif isinstance(answer, Wait):
        for more in range(4):
            for _ in range(20):
                window.add_part(b"x", 0.2, independent=False) if window._open else None
            window.begin_segment(1_700_000_100.0 + more, independent=True)
        assert window.resolve_reload(msn, part) == Ready()
    else:
        assert answer.detail


def test_gap_segments_fill_the_window_at_the_start():
    window = make(segments=1)
    media = read_media(window.media_playlist())
    found = window.lookup("gap1.mp4")
    assert isinstance(found, Found), "players that do not know EXT-X-GAP fetch it"
    assert found.body[0][4:8] == b"styp" and found.size_bytes == 24
    assert window.lookup("gap99.mp4") is None
    assert [segment.gap for segment in media.segments] == [True] * 6 + [False]
    assert media.media_sequence == 1
    assert media.segments[-1].msn == 7
    assert media.duration_s >= 3 * media.target_duration_s


def test_plain_hls_has_neither_parts_nor_gaps_nor_a_hint():
    window = make(low_latency=False, segments=4)
    media = read_media(window.media_playlist(skip=True))
    assert [segment.msn for segment in media.segments] == [0, 1, 2, 3]
    assert not media.part_target_s
    assert not media.hint
    assert not media.control
    assert media.open_segment is None
    assert window.resolve_reload(99, 0) == Ready()
    assert window.lookup(window._part_name()) is None


def test_init_sections_are_removed_with_their_last_segment():
    now_s = 0.0
    window = make(clock=lambda: now_s)
    first_init = read_media(window.media_playlist()).segments[-1].map_uri
    window.begin_period(b"other", INFO, discontinuity=True)
    for index in range(12):
        window.begin_segment(1_700_000_010.0 + index, independent=True)
        window.add_part(b"x", 1.0, independent=True)
        assert window.lookup(first_init)
    now_s = 30.0
    window.end_segment()
    assert window.lookup(first_init) is None
    (newest,) = window.finished_from(window.next_msn - 1)
    assert window.lookup(newest.init_name) == Found((b"other",))


def test_the_same_init_keeps_its_name():
    window = make()
    init_name = read_media(window.media_playlist()).segments[-1].map_uri
    window.begin_period(b"init", INFO, discontinuity=True)
    window.begin_segment(1_700_000_010.0, independent=True)
    window.add_part(b"x", 0.2, independent=True)
    window.end_segment()
    (newest,) = window.finished_from(window.next_msn - 1)
    assert newest.init_name == init_name


def test_delta_updates_leave_out_segments_before_the_skip_boundary():
    recorder = Recorder(HlsSection(segment_count=40)).configure(VIDEO, AUDIO)
    old = None
    for at, event in interleave(video(30, 60), audio(60)):
        recorder.packager.push((arriving(event, recorder.start_unix_s + at),))
        if recorder.window.ready and recorder.window.version % 7 == 0:
            full, delta = recorder.window.media_playlist(), recorder.window.media_playlist(skip=True)
            if full == delta:
                assert read_media(full).duration_s < 12 + 1 + 14
                continue
            if old is not None:
                merged = apply_delta(old, delta)
                assert merged == read_media(full)
                assert len(delta) < len(full)
            old = read_media(full)
    assert old is not None


def test_the_checker_finds_wrong_playlists():
    good = make().media_playlist()
    for old, new in [
        (b"TARGETDURATION:2", b"TARGETDURATION:0"),
        (b"PART-TARGET=0.202", b"PART-TARGET=0.19"),
        (b"PART-TARGET=0.202", b"PART-TARGET=0.6"),
        (b"PART-HOLD-BACK=0.606", b"PART-HOLD-BACK=0.4"),
        (b",HOLD-BACK=6.0", b",HOLD-BACK=3.0"),
        (b"#EXT-X-PRELOAD-HINT", b"#EXT-X-ENDLIST"),
        (b"EXTINF:1.0", b"EXTINF:1.3"),
        (b"#EXT-X-MAP", b"#EXT-X-MEP"),
        (b"VERSION:9", b"VERSION:5"),
        (b'URI="', b'URI="/'),
        (b"EXTM3U", b"EXTM3X"),
        (b"#EXT-X-GAP\n", b""),
    ]:
        assert old in good
        print(old, new)
        with pytest.raises((PlaylistError, KeyError, ValueError)):
            read_media(good.replace(old, new))


def test_the_multivariant_playlist_of_audio_without_video():
    window = Window()
    window.begin_epoch()
    window.begin_period(b"init", VariantInfo(("mp4a.40.2",)), discontinuity=False)
    window.begin_segment(1.0, independent=True)
    window.add_part(b"x" * 1000, 1.0, independent=True)
    window.freeze_target_duration(2)
    found, _ = read_multivariant(window.multivariant_playlist())
    assert found == {"BANDWIDTH": "8000", "AVERAGE-BANDWIDTH": "8000", "CODECS": "mp4a.40.2"}
