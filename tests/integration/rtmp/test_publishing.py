"""From the handshake to the end of a publisher: authority, hub and ingest decide."""

import os
import time

import pytest
from structlog.testing import capture_logs

from airnode.errors import AirnodeError, Conflict, InvalidInput
from tests.support.rtmp import (
    RtmpPublisher,
    chunk,
    command,
    complex_c1,
    simple_c1,
    tag_audio,
    tag_video,
)
from tests.support.rtmp_server import ASC, AVCC, KEY, NAL, Rig, running


@pytest.mark.parametrize("c1", [simple_c1(), complex_c1(0), complex_c1(1)])
async def test_all_handshakes_lead_to_publishing(rig: Rig, c1: bytes) -> None:
    peer = await RtmpPublisher.connect(rig.server.port)
    answer = await peer.handshake(c1)
    assert (answer[1536:] == c1) == (c1[4:8] == bytes(4))
    peer.send(command("connect", 1.0, {"app": "live"}))
    assert (await peer.answer("_result"))[0] == 1.0
    await peer.aclose()


async def test_nothing_is_read_while_a_key_is_checked(rig: Rig) -> None:
    rig.authority.answers.clear()
    peer = await RtmpPublisher.connect(rig.server.port)
    stream_id = await peer.open_stream()
    peer.send(command("publish", 3.0, None, KEY, "live", stream_id=stream_id))
    peer.send(chunk(9, tag_video(0, AVCC, key=True), stream_id=stream_id, csid=6))
    await rig.until(lambda: rig.authority.requests)
    peer.send(chunk(9, tag_video(1, NAL, key=True), timestamp_ms=40, stream_id=stream_id, csid=6))
    assert rig.hub.rooms == []
    rig.authority.answers.set()
    assert await peer.status() == "NetStream.Publish.Start"
    await rig.until(lambda: len(rig.hub.rooms[0].events) == 2)
    (frame,) = rig.hub.rooms[0].frames("video")
    assert (frame.dts_90k, frame.cts_90k, frame.is_key, frame.data) == (40 * 90, 0, True, NAL)
    assert frame.arrived_s == pytest.approx(time.time(), abs=30)
    await peer.aclose()


async def test_an_authority_that_never_answers() -> None:
    async with running(publish_timeout_s=0.1) as rig:
        rig.authority.answers.clear()
        peer = await RtmpPublisher.connect(rig.server.port)
        _, code = await peer.publish(KEY)
        assert code == "NetStream.Publish.BadName"
        assert await peer.closes()
        assert rig.metric("airnode_rtmp_rejected_total", reason="authorization_timeout") == 1
        await peer.aclose()


async def test_an_authority_that_fails(rig: Rig) -> None:
    rig.authority.fails_with = ZeroDivisionError("a fault of ours")
    peer = await RtmpPublisher.connect(rig.server.port)
    with capture_logs() as logs:
        _, code = await peer.publish(KEY)
        assert await peer.closes()
    assert code == "NetStream.Publish.Rejected"
    assert [entry["event"] for entry in logs] == ["rtmp_connection_failed", "rtmp_connection_ended"]
    await peer.aclose()


async def test_publishing_again_on_the_same_connection(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    peer.send(command("deleteStream", 4.0, None, float(stream_id)))
    assert await peer.status() == "NetStream.Unpublish.Success"
    await rig.until(lambda: room.closed)
    peer.send(command("createStream", 5.0, None))
    answer = await peer.answer("_result")
    assert isinstance(answer[2], float)
    peer.send(command("publish", 6.0, None, KEY, "live", stream_id=int(answer[2])))
    assert await peer.status() == "NetStream.Publish.Start"
    assert len(rig.hub.rooms) == 2
    await peer.aclose()


@pytest.mark.parametrize("start", [0xFFFFFF - 100, (1 << 32) - 100])
async def test_timestamps_beyond_24_and_32_bits(rig: Rig, start: int) -> None:
    peer, stream_id, room = await rig.publisher()
    peer.send(chunk(8, tag_audio(0, ASC), timestamp_ms=start, stream_id=stream_id, csid=4))
    times = [start + 23 * index for index in range(20)]
    for stamp in times:
        body = tag_audio(1, os.urandom(300))
        peer.send(chunk(8, body, timestamp_ms=stamp & 0xFFFFFFFF, stream_id=stream_id, csid=4))
    await rig.until(lambda: len(room.frames("audio")) == 20)
    assert [frame.dts_90k // 90 for frame in room.frames("audio")] == times
    await peer.aclose()


async def test_the_hub_ends_a_publisher(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    room.publisher.disconnect("Another encoder took over.")
    assert room.closed == []
    room.publisher.disconnect("again")
    answer = await peer.answer("onStatus")
    assert answer[2] == {
        "level": "error",
        "code": "NetStream.Publish.Failed",
        "description": "Another encoder took over.",
    }
    peer.send(chunk(8, tag_audio(0, ASC), stream_id=stream_id))
    assert await peer.closes()
    await rig.until(lambda: room.closed == ["disconnected"])
    assert room.events == []
    await peer.aclose()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("Too big a segment."), "NetStream.Publish.Failed"),
        (Conflict("Taken."), "NetStream.Publish.BadName"),
    ],
)
async def test_an_ingest_that_refuses_ends_the_publisher(rig: Rig, error: AirnodeError, code: str) -> None:
    peer, stream_id, room = await rig.publisher()
    rig.hub.fails_with = error
    with capture_logs() as logs:
        peer.send(chunk(8, tag_audio(0, ASC), stream_id=stream_id))
        assert await peer.status() == code
        assert await peer.closes()
        await rig.until(lambda: room.closed)
    assert [(entry["event"], entry["reason"], entry["room"]) for entry in logs] == [
        ("rtmp_connection_ended", error.code, "stream")
    ]
    await peer.aclose()


async def test_an_error_in_one_ingest_does_not_affect_the_server(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    rig.hub.fails_with = ZeroDivisionError("a fault of ours")
    with capture_logs() as logs:
        peer.send(chunk(8, tag_audio(0, ASC), stream_id=stream_id))
        assert await peer.closes()
    assert logs[0]["event"] == "rtmp_connection_failed"
    rig.hub.fails_with = None
    await rig.until(lambda: room.closed)
    other, _, _ = await rig.publisher()
    await peer.aclose()
    await other.aclose()
