"""The relayed window against the window that it follows: whatever the origin answers, the edge answers too."""

import pytest

from airnode.media.hls.blocking_reload import BadRequest, Ready, Wait
from airnode.media.hls.media_store import Found
from airnode.media.hls.window import Continuation, Pending, VariantInfo, Window
from airnode.media.relay.relayed_window import RelayedWindow, parse_playlist
from tests.support.hls import read_media
from tests.support.hls_history import apply_delta


class Pair:
    """An origin's window, and one that follows it without a network."""

    def __init__(
        self,
        *,
        low_latency: bool = True,
        after: Continuation | None = None,
        max_bytes: int = 1 << 20,
        segments: int = 7,
        part_s: float = 0.2,
    ) -> None:
        self.part_s = part_s
        self.requested: list[str] = []
        self.waiting: list[str] = []
        #: Passes with the media.
        self.now_s = 0.0
        self.edge = RelayedWindow(self.requested.append, max_bytes, clock=lambda: self.now_s)
        self.origin = Window(low_latency=low_latency, after=after, segment_count=segments, clock=lambda: self.now_s)
        self.origin.begin_epoch()
        self.origin.begin_period(b"init", VariantInfo(("avc1.42c01e",), 640, 360, 30), discontinuity=False)
        self.count = 0

    def segment(self, parts: int = 5, *, close: bool = True) -> None:
        self.origin.begin_segment(1_700_000_000 + self.count, independent=True)
        self.parts(parts)
        if close:
            self.origin.end_segment()
            if not self.origin.target_duration_s:
                self.origin.freeze_target_duration(2)

    def parts(self, count: int) -> None:
        self.origin.set_part_target(self.part_s)
        for _ in range(count):
            self.count += 1
            self.now_s += self.part_s
            self.origin.add_part(b"part %d" % self.count, self.part_s, independent=False)

    def sync(self) -> list[str]:
        self.edge.set_multivariant(self.origin.multivariant_playlist())
        return self.edge.update(self.origin.media_playlist())

    def fetch(self, *names: str) -> None:
        """Fetch, as far as it is there; the rest is waited for, and comes with the next call."""
        wanted, self.waiting = [*self.waiting, *names], []
        for name in wanted:
            found = self.origin.lookup(name)
            if isinstance(found, Found):
                self.edge.keep(name, b"".join(found.body))
            elif found is not None:
                self.waiting.append(name)


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    for _ in range(3):
        made.segment()
    made.segment(2, close=False)
    made.sync()
    return made


def test_playlists_pass_unchanged(pair: Pair):
    assert pair.edge.media_playlist() == pair.origin.media_playlist()
    assert pair.edge.multivariant_playlist() == pair.origin.multivariant_playlist()


@pytest.mark.parametrize("segments", [3, 7, 40])
@pytest.mark.parametrize("low_latency", [True, False])
def test_delta_updates_equal_those_of_the_origin(segments: int, low_latency: bool):
    # No number of these ends on the skip boundary itself, where the last bit of a sum would decide.
    pair = Pair(low_latency=low_latency, segments=segments, part_s=0.211)
    deltas = 0
    for count in range(60):
        if count == 50:  # another initialization section, within what is left out and then before it
            pair.origin.begin_epoch()
            pair.origin.begin_period(b"other", VariantInfo(("avc1.42c01e",), 640, 360, 30), discontinuity=True)
        pair.segment(1 + count % 6, close=count % 4 != 3)
        if count > 3:
            pair.sync()
            for skip in (True, False, True):
                assert pair.edge.media_playlist(skip=skip) == pair.origin.media_playlist(skip=skip)
            deltas += b"EXT-X-SKIP" in pair.edge.media_playlist(skip=True)
    assert (deltas > 40) == (low_latency and segments == 40)


def test_a_player_can_rebuild_the_playlist_from_a_delta_update():
    pair = Pair(segments=40)
    for _ in range(60):
        pair.segment()
    pair.sync()
    before = read_media(pair.edge.media_playlist())
    pair.segment(3, close=False)
    pair.sync()
    whole = apply_delta(before, pair.edge.media_playlist(skip=True))
    assert whole.segments == read_media(pair.edge.media_playlist()).segments


def test_without_skipping_at_the_origin_the_playlist_is_passed_on_unchanged(pair: Pair):
    text = pair.origin.media_playlist().replace(b"CAN-SKIP-UNTIL=12.0,", b"")
    assert b"SKIP" not in text
    pair.edge.update(text)
    assert pair.edge.media_playlist(skip=True) == text


def test_an_older_playlist_is_rejected(pair: Pair):
    old = pair.origin.media_playlist()
    pair.parts(1)
    pair.edge.update(pair.origin.media_playlist(), forward=True)
    with pytest.raises(ValueError, match="older"):
        pair.edge.update(old, forward=True)
    assert pair.edge.media_playlist() == pair.origin.media_playlist()
    pair.edge.update(old)
    assert pair.edge.media_playlist() == old, "unless nothing else can be had"


def test_memory_is_bounded_in_bytes_and_evicted_objects_are_fetched_again():
    pair = Pair(max_bytes=100)
    for _ in range(5):
        pair.segment()
        pair.fetch(*pair.sync())
    pair.edge.keep("large", b"x" * 1000)
    assert pair.edge.media_bytes == 1000, "the newest stays, however large"
    pair.origin.begin_segment(1_700_000_100, independent=True)
    pair.parts(30)
    new = pair.sync()
    pair.fetch(*new)
    assert pair.edge.media_bytes <= 100
    assert pair.edge.evicted > 10
    assert isinstance(pair.edge.lookup(new[0]), Pending)
    assert pair.requested[-1] == new[0]
    pair.fetch(new[0])
    assert pair.edge.lookup(new[0]) == pair.origin.lookup(new[0])


@pytest.mark.parametrize("low_latency", [True, False])
@pytest.mark.parametrize("open_parts", [0, 1, 3])
def test_reloads_are_resolved_as_at_the_origin(low_latency: bool, open_parts: int):
    pair = Pair(low_latency=low_latency)
    assert isinstance(pair.edge.resolve_reload(7, 0), Wait)
    for _ in range(3):
        pair.segment()
    if open_parts:
        pair.segment(open_parts, close=False)
    pair.sync()
    kinds = set()
    for msn in (None, *range(16)):
        for part in (None, 0, 1, 2, 3, 4, 5, 6, 20):
            decided = pair.edge.resolve_reload(msn, part)
            assert decided == pair.origin.resolve_reload(msn, part), (msn, part)
            kinds.add(type(decided))
    assert kinds == ({Ready, Wait, BadRequest} if low_latency else {Ready, BadRequest})


def test_the_end_of_the_class_is_passed_on(pair: Pair):
    pair.origin.end()
    pair.sync()
    assert pair.edge.ended
    assert isinstance(pair.edge.resolve_reload(99, 0), Ready)


def test_new_objects_are_fetched_at_once_and_only_once(pair: Pair):
    hint = parse_playlist(pair.origin.media_playlist()).hint
    assert isinstance(pair.edge.lookup(hint), Pending)
    pair.parts(2)
    new = pair.sync()
    assert len(new) == 2, "the second, and the next hint; the first was hinted at before"
    pair.fetch(hint, *new)
    assert pair.sync() == new[-1:], "the hint is not there yet"
    found = pair.edge.lookup(hint)
    assert isinstance(found, Found)
    assert found == pair.origin.lookup(hint)


def test_a_segment_is_joined_from_its_parts(pair: Pair):
    pair.fetch(*pair.sync())
    pair.parts(3)
    pair.fetch(*pair.sync())
    pair.origin.end_segment()
    pair.sync()
    listing = parse_playlist(pair.origin.media_playlist())
    name = next(reversed(listing.segments))
    pair.fetch(*listing.segments[name])
    pair.requested.clear()
    found, wanted = pair.edge.lookup(name), pair.origin.lookup(name)
    assert isinstance(found, Found)
    assert isinstance(wanted, Found)
    assert b"".join(found.body) == b"".join(wanted.body)
    assert pair.requested == []


def test_an_object_is_fetched_when_a_viewer_requests_it(pair: Pair):
    name = next(reversed(parse_playlist(pair.origin.media_playlist()).segments))
    assert isinstance(pair.edge.lookup(name), Pending)
    assert pair.requested == [name]
    pair.edge.miss(name)
    assert pair.edge.lookup(name) is None


@pytest.mark.parametrize("name", ["x", "0_part9.mp4", "", "../media.m3u8", "media.m3u8"])
def test_names_that_no_playlist_lists_are_never_fetched(pair: Pair, name: str):
    assert pair.edge.lookup(name) is None
    assert pair.requested == []


def test_memory_is_bounded_by_the_playlist(pair: Pair):
    pair.origin.end_segment()
    held = []
    for _ in range(60):
        pair.segment()
        pair.fetch(*pair.sync())
        pair.fetch(*parse_playlist(pair.origin.media_playlist()).inits)
        held.append(pair.edge.media_bytes)
    assert max(held) <= 2 * pair.origin.media_bytes
    assert max(held[40:]) <= max(held[20:40]) + 64
    listed = parse_playlist(pair.origin.media_playlist())
    assert set(pair.edge._objects) <= pair.edge._listed.keys()
    for name in listed.segments:
        found = pair.edge.lookup(name)
        assert isinstance(found, Found), "older segments too, whose parts are listed no more"


@pytest.mark.parametrize("text", [b"", b"<html>", b"#EXTM3U\n", b"\xff\xfe", b"#EXTM3U\n#EXT-X-TARGETDURATION:x\n"])
def test_other_texts_are_refused(text: bytes):
    with pytest.raises(ValueError, match=r"."):
        parse_playlist(text)


def test_a_window_continues_after_another_one():
    pair = Pair(after=Continuation(first_msn=59, target_duration_s=4, discontinuities=3, part_target_s=0.334))
    pair.segment()
    pair.sync()
    text = pair.origin.media_playlist().decode()
    assert "PART-TARGET=0.334\n" in text, "not the 0.2 s that this publisher's frames would give"
    assert "#EXT-X-MEDIA-SEQUENCE:60\n" in text, "seven segments, the first of them gaps"
    assert "#EXT-X-TARGETDURATION:4\n" in text
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:3\n" in text
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert pair.origin.discontinuities == 4
    for msn in (50, 57, 60, 66):
        assert isinstance(pair.edge.resolve_reload(msn, 0), Ready)
