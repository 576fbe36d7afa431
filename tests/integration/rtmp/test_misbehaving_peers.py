"""Peers that send garbage, too much, too little or nothing."""

import asyncio
import contextlib
import os
import struct

import pytest
from structlog.testing import capture_logs

from tests.support.rtmp import (
    RtmpPublisher,
    chunk,
    command,
    tag_audio,
    tag_video,
)
from tests.support.rtmp_server import ASC, AVCC, KEY, NAL, Rig, running


async def expect_end(rig: Rig, data: bytes, reason: str, *, after_handshake: bool = True) -> None:
    """Send bytes that end the connection; check the reason in one log line and one metric."""
    peer = await RtmpPublisher.connect(rig.server.port)
    if after_handshake:
        await peer.handshake()
    with capture_logs() as logs:
        peer.send(data)
        assert await peer.closes()
        await peer.aclose()
        await rig.until(lambda: [entry for entry in logs if entry["event"] == "rtmp_connection_ended"])
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("rtmp_connection_ended", reason)]
    assert rig.metric("airnode_rtmp_protocol_errors_total", reason=reason) >= 1


async def test_hostile_bytes_end_one_connection_and_nothing_else(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    peer.send(chunk(8, tag_audio(0, ASC), stream_id=stream_id))
    await expect_end(rig, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_rtmp", after_handshake=False)
    await expect_end(rig, b"\x06" + bytes(1536), "encrypted", after_handshake=False)
    await expect_end(rig, b"\xff" * 100, "chunk_format")
    # A message header of 16 MiB, the maximum of 24 bits, also where chunks may have 2 GiB.
    await expect_end(rig, bytes.fromhex("03 000000 ffffff 14 00000000") + bytes(1000), "message_size")
    huge = chunk(1, struct.pack(">I", 0x7FFFFFFF), csid=2)
    await expect_end(rig, huge + bytes.fromhex("03 000000 ffffff 14 00000000") + bytes(1000), "message_size")
    await expect_end(rig, command("connect", 1.0, {"app": "live"}) + command("createStream", 2.0, None) * 9, "streams")
    await expect_end(rig, chunk(20, b"\x03\0\1a" * 100), "amf_depth")
    peer.send(chunk(8, tag_audio(1, b"sound"), timestamp_ms=20, stream_id=stream_id))
    await rig.until(lambda: room.frames("audio"))
    assert room.closed == []
    await peer.aclose()


async def test_a_publisher_that_announces_100_megabytes(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    header = bytes.fromhex("06 000000 ffffff 09") + struct.pack("<I", stream_id)
    with capture_logs() as logs:
        peer.send(header + bytes(100_000))
        assert await peer.closes()
        await rig.until(lambda: room.closed)
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("rtmp_connection_ended", "message_size")]
    await peer.aclose()


async def test_ten_thousand_tiny_chunks(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    sound = os.urandom(10_000)
    peer.send(chunk(1, struct.pack(">I", 1), csid=2))
    peer.send(chunk(8, tag_audio(0, ASC), stream_id=stream_id, chunk_size_bytes=1))
    peer.send(chunk(8, tag_audio(1, sound), timestamp_ms=5, stream_id=stream_id, csid=4, chunk_size_bytes=1))
    await rig.until(lambda: room.frames("audio"))
    assert [(frame.dts_90k, frame.data) for frame in room.frames("audio")] == [(5 * 90, sound)]
    await peer.aclose()


async def test_malformed_media_is_counted_and_skipped(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    malformed = chunk(9, b"\x17\x01", stream_id=stream_id, csid=6)
    with capture_logs() as logs:
        peer.send(malformed * 99 + chunk(9, tag_video(0, AVCC, key=True), stream_id=stream_id, csid=6) + malformed * 99)
        peer.send(chunk(8, b"", stream_id=stream_id, csid=4) * 99)
        peer.send(chunk(9, tag_video(1, NAL, key=True), timestamp_ms=40, stream_id=stream_id, csid=6))
        await rig.until(lambda: room.frames("video"))
    assert rig.metric("airnode_rtmp_protocol_errors_total", reason="malformed_media") == 297
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("rtmp_message_skipped", "malformed_media")]
    assert room.closed == []
    await peer.aclose()


@pytest.mark.parametrize("stage", ["nothing", "half a handshake", "handshake", "publishing"])
async def test_silent_peers_time_out(stage: str) -> None:
    async with running(handshake_timeout_s=0.15, publish_timeout_s=0.2, idle_timeout_s=0.25) as rig:
        with capture_logs() as logs:
            peer = await RtmpPublisher.connect(rig.server.port)
            if stage == "half a handshake":
                peer.send(b"\x03" + bytes(700))
            elif stage == "handshake":
                await peer.handshake()
            elif stage == "publishing":
                await peer.publish(KEY)
            assert await peer.closes()
            await peer.aclose()
            await rig.no_connections()
        reason = {"handshake": "publish_timeout", "publishing": "idle_timeout"}.get(stage, "handshake_timeout")
        assert [entry["reason"] for entry in logs if entry["event"] == "rtmp_connection_ended"] == [reason]
        assert rig.metric("airnode_rtmp_protocol_errors_total", reason=reason) == 1


async def test_more_connections_than_allowed() -> None:
    async with running(max_connections=2) as rig:
        first, second = [await RtmpPublisher.connect(rig.server.port) for _ in range(2)]
        await first.handshake()
        await second.handshake()
        with capture_logs() as logs:
            refused = [await RtmpPublisher.connect(rig.server.port) for _ in range(5)]
            for peer in refused:
                assert await peer.closes()
                await peer.aclose()
        assert [entry["reason"] for entry in logs] == ["too_many_connections"]  # one line for the flood
        assert rig.metric("airnode_rtmp_rejected_total", reason="too_many_connections") == 5
        assert rig.metric("airnode_rtmp_connections") == 2
        await first.aclose()
        await rig.until(lambda: rig.metric("airnode_rtmp_connections") == 1)
        third = await RtmpPublisher.connect(rig.server.port)
        await third.handshake()
        await second.aclose()
        await third.aclose()


async def test_a_peer_that_never_reads_is_disconnected() -> None:
    async with running(idle_timeout_s=0.5) as rig:
        peer, _, room = await rig.publisher()
        transport = peer.writer.transport
        transport.pause_reading()
        ping = chunk(4, struct.pack(">HI", 6, 1), csid=2)
        # More answers than both sockets' buffers hold: the server stops reading, and the idle timeout ends the peer.
        for _ in range(3000):
            if transport.is_closing() or room.closed:
                break
            peer.send(ping * 1000)
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.01):
                    await peer.writer.drain()
        await rig.until(lambda: room.closed)
        assert rig.metric("airnode_rtmp_protocol_errors_total", reason="idle_timeout") == 1
        transport.abort()
