"""The live feed: what viewers get, and how slow viewers are treated."""

import asyncio
import itertools
import socket

import uvloop

from airnode.media.frames import VideoConfig
from airnode.media.live.feed import LiveLimits, LiveViewer
from tests.support.livefeed import LIMITS, Room, Viewer, Wire, clip, unframed
from tests.support.livemp4 import AUDIO as AUDIO_TRACK
from tests.support.livemp4 import VIDEO as VIDEO_TRACK
from tests.support.publisher import AUDIO, VIDEO, Timed, video
from tests.support.waiting import eventually

OTHER_SIZE = VideoConfig("avc", bytes.fromhex("0142c01effe1000001"), VIDEO.codecs, 1280, 720)
OTHER_CODEC = VideoConfig("avc", bytes.fromhex("0164001fffe1000000"), "avc1.64001f", 640, 360)


def playing(limits: LiveLimits = LIMITS) -> tuple[Room, list[Timed]]:
    """Return a room that has got 1.5 s of a clip, and the rest of the clip."""
    room, timed = Room(limits).configure(VIDEO, AUDIO), clip(6)
    room.push([each for each in timed if each[0] < 1.5])
    return room, [each for each in timed if each[0] >= 1.5]


def test_a_viewer_gets_the_init_section_and_everything_since_the_key_frame_in_one_write():
    room, _ = playing()
    viewer = Viewer(room)
    assert viewer.stream.inits[0][0] == 0
    assert viewer.frames() == list(range(30, 45))
    assert viewer.stream.fragments[0].key
    assert bytes(viewer.wire.taken).index(b"\r\n") < 8
    assert len(unframed(bytes(viewer.wire.taken))) == int(bytes(viewer.wire.taken).split(b"\r\n")[0], 16)


def test_a_viewer_gets_each_frame_once_as_soon_as_it_arrives():
    room, rest = playing()
    viewer = Viewer(room)
    sizes = []
    for each in rest:
        room.push([each])
        sizes.append(len(viewer.wire.taken))
    assert viewer.frames() == list(range(30, 180))
    heard = viewer.stream.samples(AUDIO_TRACK)
    assert all(a.time + a.duration == b.time for a, b in itertools.pairwise(heard))
    assert room.metric("viewers") == 1
    assert room.metric("sent_bytes_total") == len(viewer.wire.taken)


def test_a_closed_connection_does_not_affect_other_viewers():
    """uvloop, unlike asyncio, raises when something is written to a closed transport."""

    async def closed_transport() -> asyncio.Transport:
        here, there = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
        transport.abort()
        there.close()
        await eventually(lambda: raises_when_written(transport), 20, "the transport is closed")
        return transport

    def raises_when_written(transport: asyncio.Transport) -> bool:
        try:
            transport.write(b"x")
        except RuntimeError:
            return True
        return False

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        gone = runner.run(closed_transport())
        room, rest = playing()
        room.feed.join(LiveViewer(gone, chunked=True, ended=lambda _: None))
        viewer = Viewer(room)
        room.push(rest)
        assert viewer.frames() == list(range(30, 180))


def test_all_viewers_share_one_bytes_object():
    room, rest = playing()
    seen: list[list[bytes]] = [[], []]

    class Sink(Wire):
        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

        def write(self, data: bytes, /) -> None:
            seen[self.index].append(data)

    for index in range(2):
        room.feed.join(LiveViewer(Sink(index), chunked=True, ended=lambda _: None))
    room.push(rest)
    assert len(seen[0]) > 100
    assert all(a is b for a, b in zip(seen[0][1:], seen[1][1:], strict=True))


def test_an_http_1_0_viewer_gets_the_same_bytes_without_framing():
    room, rest = playing()
    old, new = Viewer(room, chunked=False), Viewer(room)
    room.push(rest)
    assert old.data == new.data


def test_before_the_first_key_frame_there_is_only_the_init_section():
    room = Room().configure(VIDEO, AUDIO)
    room.push([each for each in clip(1.5, gop=300) if each[0] > 0.2])
    assert room.feed.ready
    viewer = Viewer(room)
    assert viewer.stream.inits
    assert viewer.frames() == []
    room.push([(5 + at_s, event) for at_s, event in video(30, 0.5, start_ms=1600)])
    assert len(viewer.frames()) == 15


def test_a_slow_viewer_is_moved_to_a_key_frame_and_others_are_not_affected():
    room, rest = playing()
    slow, quick = Viewer(room), Viewer(room)
    slow.wire.reading = False
    room.push([each for each in rest if each[0] < 4.5])
    assert slow.viewer.waits_for_key
    assert room.metric("skips_total") == 1
    slow.wire.read_all()
    slow.wire.reading = True
    room.push([each for each in rest if each[0] >= 4.5])
    frames = slow.frames()
    holes = [(a, b) for a, b in itertools.pairwise(frames) if b != a + 1]
    assert len(holes) == 1
    assert holes[0][1] % 30 == 0
    assert frames[-1] == 179
    assert quick.frames() == list(range(30, 180))
    assert slow.ended == []


def test_the_queue_is_bounded_by_fragments_and_by_bytes():
    for limits in (LiveLimits(queue_fragments=20), LiveLimits(queue_bytes=300_000)):
        room, timed = Room(limits).configure(VIDEO, AUDIO), clip(20, size=20_000)
        room.push(timed[:1])
        viewer = Viewer(room)
        viewer.wire.reading = False
        room.push(timed)
        assert viewer.wire.held < 20_000 * 25
        assert room.metric("skips_total") == 1


def test_a_long_first_burst_does_not_count_as_falling_behind():
    room = Room(LiveLimits(queue_bytes=300_000)).configure(VIDEO, AUDIO)
    timed = clip(4, gop=300, size=20_000)
    room.push([each for each in timed if each[0] < 3])
    viewer = Viewer(room)
    assert len(viewer.wire.taken) > 1_000_000
    viewer.wire.held = 1_000_000
    viewer.wire.reading = False
    room.push([each for each in timed if 3 <= each[0] < 3.2])
    assert not viewer.viewer.waits_for_key


def test_a_viewer_that_receives_nothing_is_dropped_and_counted():
    room, rest = playing()
    viewer, other = Viewer(room), Viewer(room)
    viewer.wire.reading = False
    viewer.wire.held = 1
    room.push([(at_s * 2, event) for at_s, event in rest])
    assert viewer.ended == ["stuck"]
    assert other.ended == []
    assert room.metric("dropped_total") == 1
    assert room.metric("viewers") == 1


def test_a_viewer_that_receives_slowly_is_not_dropped():
    room, rest = playing()
    viewer = Viewer(room)
    viewer.wire.reading = False
    for at_s, event in rest:
        room.push([(at_s * 4, event)])
        viewer.wire.held = max(1, viewer.wire.held - 100)
    assert viewer.ended == []


def test_a_publisher_that_returns_continues_in_the_same_response():
    room, rest = playing()
    viewer = Viewer(room)
    room.push(rest)
    room.packager.finish()
    room.packager.restart()
    room.configure(VIDEO, AUDIO)
    room.push([(room.now_s + at_s, event) for at_s, event in clip(2)])
    assert viewer.ended == []
    assert viewer.frames() == [*range(30, 180), *range(60)]
    times = [sample.time for sample in viewer.stream.samples(VIDEO_TRACK)]
    assert times == sorted(set(times))
    assert len(viewer.stream.inits) == 1
    assert viewer.stream.fragments[-60].key or any(each.key for each in viewer.stream.fragments[-70:-50])


def test_another_picture_size_adds_a_new_init_section():
    room, rest = playing()
    viewer = Viewer(room)
    room.configure(OTHER_SIZE)
    room.push([(2 + at_s, event) for at_s, event in clip(2, start_ms=1500)])
    assert viewer.ended == []
    assert len(viewer.stream.inits) == 2
    behind = viewer.stream.fragments[viewer.stream.inits[1][0] :]
    assert next(each for each in behind if VIDEO_TRACK in each.tracks).key
    assert rest


def test_a_slow_viewer_gets_the_new_init_section_when_it_resumes():
    room, rest = playing()
    viewer = Viewer(room)
    viewer.wire.reading = False
    room.push([each for each in rest if each[0] < 4.2])
    assert viewer.viewer.waits_for_key
    room.configure(OTHER_SIZE)
    assert len(viewer.stream.inits) == 1
    viewer.wire.read_all()
    viewer.wire.reading = True
    room.push([(5 + at_s, event) for at_s, event in clip(2, start_ms=4200)])
    assert len(viewer.stream.inits) == 2
    assert viewer.stream.fragments[viewer.stream.inits[1][0]].key


def test_other_codecs_end_the_response():
    room, _ = playing()
    viewer = Viewer(room)
    before = room.feed.content_type
    room.configure(OTHER_CODEC)
    assert viewer.ended == ["codecs"]
    assert room.metric("viewers") == 0
    assert before == 'video/mp4; codecs="avc1.42c01e,mp4a.40.2"'
    assert room.feed.content_type == 'video/mp4; codecs="avc1.64001f,mp4a.40.2"'


def test_the_end_of_the_feed_ends_all_responses_and_refuses_new_viewers():
    room, _ = playing()
    first = Viewer(room)
    room.feed.end()
    assert first.ended == ["ended"]
    late = Viewer(room)
    assert late.ended == ["ended"]
    assert late.wire.taken == b""
    assert room.metric("viewers") == 0


def test_a_viewer_that_leaves_twice_is_counted_once():
    room, rest = playing()
    viewer = Viewer(room)
    room.feed.leave(viewer.viewer)
    room.feed.leave(viewer.viewer)
    size = len(viewer.wire.taken)
    room.push(rest)
    assert len(viewer.wire.taken) == size
    assert room.metric("viewers") == 0


def test_frames_without_a_key_frame_are_kept_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("airnode.media.live.feed.RING_BYTES", 200_000)
    room = Room().configure(VIDEO, AUDIO)
    room.push(clip(10, gop=1000, size=2_000))
    viewer = Viewer(room)
    assert viewer.frames() == []
    assert viewer.viewer.waits_for_key
