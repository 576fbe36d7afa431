"""How long segments and parts can be fetched after they left the playlist (rfc8216bis 6.2.2), by the tests' clock."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.media.hls.media_store import Found
from airnode.media.hls.window import Pending, VariantInfo, Window
from airnode.media.relay.relayed_window import RelayedWindow
from tests.support.hls import Media, read_media
from tests.support.hls_due import Due

INFO = VariantInfo(("avc1.64001f",), 640, 360, 30.0)
PART_S = 0.2


class Clock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def publish(window: Window, clock: Clock, part_counts: list[int], pace: float = 1.0) -> Iterator[Media]:
    """Write segments with so many parts and yield each playlist; ``pace``: real time for a second of media."""
    window.begin_epoch()
    window.begin_period(b"init", INFO, discontinuity=False)
    window.set_part_target(PART_S)
    for number, parts in enumerate(part_counts):
        window.begin_segment(1_700_000_000.0 + sum(part_counts[:number]) * PART_S, independent=True)
        for part in range(parts):
            clock.now_s += PART_S * pace
            window.add_part(b"%d.%d " % (number, part) * 10, PART_S, independent=part == 0)
            if window.ready and part < parts - 1:
                yield read_media(window.media_playlist())
        window.end_segment()
        if not window.target_duration_s:
            window.freeze_target_duration(2)
        yield read_media(window.media_playlist())


SEGMENTS = st.lists(st.integers(1, 10), min_size=12, max_size=24)


@settings(max_examples=40)
@given(part_counts=SEGMENTS, count=st.integers(3, 8), low_latency=st.booleans(), pace=st.sampled_from([0.1, 1.0, 3.0]))
def test_what_a_playlist_named_stays_for_a_segment_and_the_longest_playlist(part_counts, count, low_latency, pace):
    clock, due = Clock(), Due()
    window = Window(segment_count=count, low_latency=low_latency, clock=clock)
    for media in publish(window, clock, part_counts, pace):
        due.note(media, clock.now_s)
        for name in due.names(clock.now_s):
            assert isinstance(window.lookup(name), Found), name
    assert not window.removed_early


def test_what_is_no_longer_due_goes_with_the_next_segment():
    clock, due = Clock(), Due()
    window = Window(segment_count=7, clock=clock)
    most = 0
    for media in publish(window, clock, [5] * 100):
        due.note(media, clock.now_s)
        most = max(most, window.retained_bytes)
        for name in due.over(clock.now_s - 1.2):  # a segment and a part later
            assert window.lookup(name) is None, name
    # 7 segments of 1 s in the playlist, and 1 s of its own: 8 to 9 segments; at first a playlist of 14 s of gaps.
    sizes = 5 * 10 * len(b"99.0 ")
    assert 8 * sizes <= window.retained_bytes <= 9 * sizes
    assert most <= 16 * sizes


def test_a_publisher_that_stops_keeps_what_is_there():
    clock = Clock()
    window = Window(segment_count=3, clock=clock)
    *_, media = publish(window, clock, [5] * 20)
    oldest = f"{media.hint.split('_')[0]}_seg{media.media_sequence - 1}.mp4"
    clock.now_s += 3600
    assert isinstance(window.lookup(oldest), Found), "nothing is added meanwhile, so nothing has to go"


def test_memory_is_bounded_and_what_goes_early_is_counted():
    clock = Clock()
    limit = 1000
    window = Window(segment_count=3, clock=clock, retained_max_bytes=limit)
    for _ in publish(window, clock, [5] * 50):
        assert window.retained_bytes <= limit
    assert window.removed_early > 10
    *_, newest = (name for name in window._media._bodies if "_seg" in name)
    assert isinstance(window.lookup(newest), Found)


def test_an_edge_keeps_objects_as_long_as_the_origin():
    clock, due = Clock(), Due()
    window = Window(segment_count=3, clock=clock)
    edge = RelayedWindow(lambda name: None, 1 << 30, clock)
    first: set[str] = set()
    waiting: list[str] = []
    for media in publish(window, clock, [5, 3, 9, 10, 1, 2] * 6):
        wanted = [*waiting, *edge.update(window.media_playlist()), *(segment.map_uri for segment in media.segments)]
        waiting = []
        for name in wanted:
            found = window.lookup(name)
            if isinstance(found, Found):
                edge.keep(name, b"".join(found.body))
            else:
                waiting.append(name)
        due.note(media, clock.now_s)
        first = first or {*due.listed}
        for name in due.names(clock.now_s):
            found, original = edge.lookup(name), window.lookup(name)
            assert isinstance(original, Found), name
            if isinstance(found, Pending):  # the edge fetches only what comes after the first playlist, and no gaps
                assert name in first or "gap" in name
            else:
                assert isinstance(found, Found), name
                assert b"".join(found.body) == b"".join(original.body), name
    assert edge.media_bytes <= window.media_bytes * 2
