"""The RTMP server with real encoders and with misbehaving peers."""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from airnode.config.sections.rtmp import RtmpSection
from airnode.errors import AirnodeError, Conflict, InvalidInput, StartupError
from airnode.media.frames import AudioConfig, Frame, MediaEvent, StreamMetadata, TrackKind, VideoConfig
from airnode.media.rtmp.server import Ingest, PublisherInfo, PublishRefusal, PublishRequest, RtmpServer
from tests.support.rtmp import (
    RtmpPublisher,
    box_body,
    boxes,
    chunk,
    command,
    complex_c1,
    simple_c1,
    tag_audio,
    tag_enhanced,
    tag_video,
)
from tests.support.tls import make_certificate

AVCC = bytes.fromhex("0142c01effe100196742c01eda0280bfe5c044000003000400000300f03c58ba8001000468ce0fc8")
ASC = bytes.fromhex("1190")
NAL = b"\0\0\0\2\x65\x88"
KEY = "sesame-7f3a"


class Room:
    """Stores what one publisher sent."""

    def __init__(self, hub: "Hub", name: str, publisher: PublisherInfo) -> None:
        self.hub = hub
        self.name = name
        self.publisher = publisher
        self.events: list[MediaEvent] = []
        self.received_bytes = 0
        self.closed: list[str] = []

    def push(self, events: Sequence[MediaEvent], received_bytes: int) -> None:
        assert not self.closed, "a push after the close"
        self.events += events
        self.received_bytes += received_bytes
        self.hub.changed.set()
        if self.hub.fails_with is not None:
            raise self.hub.fails_with

    def close(self, reason: str) -> None:
        self.closed.append(reason)
        self.hub.changed.set()

    def of(self, kind: type[MediaEvent]) -> list[MediaEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def frames(self, track: TrackKind) -> list[Frame]:
        return [event for event in self.events if isinstance(event, Frame) and event.track == track]


class Hub:
    """Accepts one publisher per room."""

    def __init__(self) -> None:
        self.rooms: list[Room] = []
        self.fails_with: Exception | None = None
        self.changed = asyncio.Event()

    def open(self, room: str, publisher: PublisherInfo) -> Ingest:
        if any(other.name == room and not other.closed for other in self.rooms):
            raise Conflict("This class is live already.")
        self.rooms.append(Room(self, room, publisher))
        self.changed.set()
        return self.rooms[-1]


class Authority:
    """Accepts one key."""

    def __init__(self) -> None:
        self.requests: list[PublishRequest] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails_with: Exception | None = None

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        self.requests.append(request)
        await self.answers.wait()
        if self.fails_with is not None:
            raise self.fails_with
        if request.key != KEY:
            return PublishRefusal("key", "The stream key is wrong.")
        return request.name if request.name != KEY else "stream"


class Rig:
    """A running server with its authority and its hub."""

    def __init__(self, **settings: object) -> None:
        self.registry = CollectorRegistry()
        self.hub = Hub()
        self.authority = Authority()
        section = RtmpSection.model_validate({"port": 0, **settings})
        self.server = RtmpServer(section, "127.0.0.1", self.authority, self.hub, self.registry)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition is true; it is checked after each change in the hub, and every 10 ms."""
        async with asyncio.timeout(20):
            while not condition():
                self.hub.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.hub.changed.wait(), 0.01)

    async def no_connections(self) -> None:
        await self.until(lambda: self.metric("airnode_rtmp_connections") == 0)

    async def publisher(self, name: str = KEY) -> tuple[RtmpPublisher, int, Room]:
        """Return an accepted publisher, its stream id and its room."""
        peer = await RtmpPublisher.connect(self.server.port)
        stream_id, code = await peer.publish(name)
        assert code == "NetStream.Publish.Start"
        return peer, stream_id, self.hub.rooms[-1]


@contextlib.asynccontextmanager
async def running(**settings: object) -> AsyncIterator[Rig]:
    rig = Rig(**settings)
    await rig.server.start()
    try:
        yield rig
    finally:
        await rig.server.stop()
        assert rig.metric("airnode_rtmp_connections") == 0
        assert rig.metric("airnode_rtmp_publishers") == 0
        assert all(len(room.closed) == 1 for room in rig.hub.rooms)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as running_rig:
        yield running_rig


VIDEO = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=30"]
AUDIO = ["-f", "lavfi", "-i", "sine=r=48000"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p"]
AAC = ["-c:a", "aac", "-b:a", "64k"]


async def ffmpeg(*arguments: str) -> tuple[int, str]:
    """Return the exit code and the error output."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, errors.decode()


# --- encoders


@pytest.mark.ffmpeg
@pytest.mark.parametrize(("path", "room"), [(f"live/{KEY}", "stream"), (f"live/algebra?key={KEY}", "algebra")])
async def test_ffmpeg_publishes(rig: Rig, tmp_path: Path, path: str, room: str) -> None:
    with capture_logs() as logs:
        url = f"rtmp://127.0.0.1:{rig.server.port}/{path}"
        code, errors = await ffmpeg(*VIDEO, *AUDIO, "-t", "3", *H264, *AAC, "-f", "flv", url)
        assert code == 0, errors
        await rig.no_connections()
    made = rig.hub.rooms[0]
    assert made.name == room
    assert rig.authority.requests[0].app == "live"
    config = made.of(VideoConfig)
    assert [(event.codecs, event.width, event.height) for event in config if isinstance(event, VideoConfig)] == [
        ("avc1.42c01e", 640, 360)
    ]
    assert isinstance(config[0], VideoConfig)
    assert config[0].frame_rate == pytest.approx(30)
    audio = made.of(AudioConfig)[0]
    assert isinstance(audio, AudioConfig)
    assert (audio.codecs, audio.sample_rate, audio.channels) == ("mp4a.40.2", 48000, 1)
    metadata = made.of(StreamMetadata)[0]
    assert isinstance(metadata, StreamMetadata)
    assert (metadata.width, metadata.frame_rate, metadata.encoder[:4]) == (640, 30.0, "Lavf")
    video = made.frames("video")
    assert len(video) == 90
    assert [index for index, sample in enumerate(video) if sample.is_key] == [0, 30, 60]
    # The audio encoder's delay moves all, and milliseconds are rounded.
    assert 0 <= video[0].dts_90k < 50 * 90
    assert all(abs(sample.dts_90k - video[0].dts_90k - index * 3000) <= 90 for index, sample in enumerate(video))
    assert len(made.frames("audio")) >= 140
    assert len(made.closed) == 1
    assert made.received_bytes == pytest.approx(rig.metric("airnode_rtmp_received_bytes_total"), rel=0.01)
    assert rig.metric("airnode_rtmp_connections_accepted_total") == 1
    assert [entry["event"] for entry in logs] == [
        "rtmp_publish_started",
        "rtmp_publish_ended",
        "rtmp_connection_ended",
    ]
    assert KEY not in repr(logs)
    # The samples decode: H.264 in Annex B form, as another decoder expects it.
    stream = tmp_path / "sent.h264"
    stream.write_bytes(annex_b(AVC_SETS(config[0].record)) + b"".join(annex_b(nals(sample.data)) for sample in video))
    assert await frames(stream) == 90


@pytest.mark.ffmpeg
async def test_b_frames_have_composition_times(rig: Rig) -> None:
    code, errors = await ffmpeg(
        *VIDEO,
        "-t",
        "2",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-g",
        "30",
        "-pix_fmt",
        "yuv420p",
        "-f",
        "flv",
        f"rtmp://127.0.0.1:{rig.server.port}/live/{KEY}",
    )
    assert code == 0, errors
    await rig.no_connections()
    video = rig.hub.rooms[0].frames("video")
    presented = [sample.dts_90k + sample.cts_90k for sample in video]
    assert len(set(presented)) == 60
    assert presented != sorted(presented)
    assert all(b.dts_90k > a.dts_90k for a, b in itertools.pairwise(video))


@pytest.mark.ffmpeg
@pytest.mark.parametrize("path", ["live/wrong", "live/algebra?key=wrong"])
async def test_ffmpeg_with_a_wrong_key_fails(rig: Rig, path: str) -> None:
    with capture_logs() as logs:
        url = f"rtmp://127.0.0.1:{rig.server.port}/{path}"
        code, errors = await ffmpeg(*VIDEO, "-t", "30", *H264, "-f", "flv", url)
        await rig.no_connections()
    assert code != 0
    assert "The stream key is wrong." in errors
    assert rig.hub.rooms == []
    assert rig.metric("airnode_rtmp_rejected_total", reason="key") == 1
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("rtmp_connection_ended", "key")]
    assert "wrong'" not in repr(logs)
    assert "algebra" not in repr(logs)


@pytest.mark.ffmpeg
async def test_ffmpeg_shows_that_the_room_is_live(rig: Rig) -> None:
    peer, _, room = await rig.publisher()
    url = f"rtmp://127.0.0.1:{rig.server.port}/live/{KEY}"
    code, errors = await ffmpeg(*VIDEO, "-t", "30", *H264, "-f", "flv", url)
    assert code != 0
    assert "This class is live already." in errors
    assert room.closed == []
    assert rig.metric("airnode_rtmp_rejected_total", reason="conflict") == 1
    await peer.aclose()


@pytest.mark.ffmpeg
async def test_ffmpeg_shows_that_a_codec_cannot_be_played(rig: Rig) -> None:
    url = f"rtmp://127.0.0.1:{rig.server.port}/live/{KEY}"
    code, errors = await ffmpeg("-re", *VIDEO, "-t", "30", "-c:v", "flv", "-f", "flv", url)
    assert code != 0
    assert "Sorenson H.263" in errors
    await rig.no_connections()
    assert len(rig.hub.rooms[0].closed) == 1


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("encoder", "box", "fourcc", "codec", "container"),
    [("libx265", b"hvcC", b"hvc1", "hevc", "hevc"), ("libaom-av1", b"av1C", b"av01", "av1", "obu")],
)
async def test_enhanced_rtmp(
    rig: Rig, tmp_path: Path, encoder: str, box: bytes, fourcc: bytes, codec: str, container: str
) -> None:
    movie = tmp_path / "sample.mp4"
    options = ["-x265-params", "log-level=error"] if codec == "hevc" else ["-cpu-used", "8", "-usage", "realtime"]
    code, errors = await ffmpeg(
        *VIDEO,
        "-frames:v",
        "20",
        "-c:v",
        encoder,
        *options,
        "-g",
        "10",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+frag_every_frame+delay_moov+default_base_moof",
        str(movie),
    )
    if "Unknown encoder" in errors:
        pytest.skip(f"this ffmpeg has no {encoder}")
    assert code == 0, errors
    data = movie.read_bytes()
    record = box_body(data, box)
    samples = [body for kind, body in boxes(data) if kind == b"mdat" and body]
    assert len(samples) == 20
    peer, stream_id, room = await rig.publisher()
    peer.send(chunk(9, tag_enhanced(0, fourcc, record, key=True), stream_id=stream_id, csid=6))
    for index, sample in enumerate(samples):
        # CodedFrames with a composition time for HEVC, CodedFramesX for every second one; AV1 has no composition time.
        plain = codec == "av1" or index % 2 == 1
        body = tag_enhanced(3, fourcc, sample) if plain else tag_enhanced(1, fourcc, bytes(3) + sample)
        peer.send(chunk(9, body, timestamp_ms=40 * index, stream_id=stream_id, csid=6))
    await rig.until(lambda: len(room.frames("video")) == len(samples))
    config = room.of(VideoConfig)[0]
    assert isinstance(config, VideoConfig)
    assert (config.codec, config.width, config.height, config.record) == (codec, 640, 360, record)
    got = [frame.data for frame in room.frames("video")]
    stream = tmp_path / f"sent.{container}"
    if codec == "hevc":
        stream.write_bytes(annex_b(HEVC_SETS(record)) + b"".join(annex_b(nals(sample)) for sample in got))
    else:
        stream.write_bytes(b"".join(b"\x12\x00" + sample for sample in got))
    assert await frames(stream) == len(samples) == 20
    await peer.aclose()


def nals(data: bytes) -> list[bytes]:
    found, pos = [], 0
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 4], "big")
        found.append(data[pos + 4 : pos + 4 + size])
        pos += 4 + size
    assert pos == len(data)
    return found


def annex_b(units: Sequence[bytes]) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def AVC_SETS(record: bytes) -> list[bytes]:  # noqa: N802
    sps = int.from_bytes(record[6:8], "big")
    at = 8 + sps + 1
    pps = int.from_bytes(record[at : at + 2], "big")
    return [record[8 : 8 + sps], record[at + 2 : at + 2 + pps]]


def HEVC_SETS(record: bytes) -> list[bytes]:  # noqa: N802
    found, pos = [], 23
    for _ in range(record[22]):
        count = int.from_bytes(record[pos + 1 : pos + 3], "big")
        pos += 3
        for _ in range(count):
            size = int.from_bytes(record[pos : pos + 2], "big")
            found.append(record[pos + 2 : pos + 2 + size])
            pos += 2 + size
    return found


async def frames(stream: Path) -> int:
    """Return how many frames of a file ffmpeg decodes without an error."""
    frames_out = stream.with_suffix(".md5")
    code, errors = await ffmpeg("-xerror", "-i", str(stream), "-f", "framemd5", str(frames_out))
    assert code == 0, errors
    return sum(not line.startswith("#") for line in frames_out.read_text().splitlines())


# --- handshake and session


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
    assert code == "NetStream.Publish.Failed"
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


# --- misbehaving peers


async def ended(rig: Rig, data: bytes, reason: str, *, after_handshake: bool = True) -> None:
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
    await ended(rig, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_rtmp", after_handshake=False)
    await ended(rig, b"\x06" + bytes(1536), "encrypted", after_handshake=False)
    await ended(rig, b"\xff" * 100, "chunk_format")
    # A message header of 16 MiB, the maximum of 24 bits, and a chunk size of 100 MB.
    await ended(rig, bytes.fromhex("03 000000 ffffff 14 00000000") + bytes(1000), "message_size")
    await ended(rig, chunk(1, struct.pack(">I", 100_000_000), csid=2), "chunk_size")
    await ended(rig, command("connect", 1.0, {"app": "live"}) + command("createStream", 2.0, None) * 9, "streams")
    await ended(rig, chunk(20, b"\x03\0\1a" * 100), "amf_depth")
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


async def test_malformed_media_is_counted_and_ends_the_publisher_eventually(rig: Rig) -> None:
    peer, stream_id, room = await rig.publisher()
    malformed = chunk(9, b"\x17\x01", stream_id=stream_id, csid=6)
    peer.send(malformed * 99 + chunk(9, tag_video(0, AVCC, key=True), stream_id=stream_id, csid=6) + malformed * 99)
    peer.send(chunk(9, tag_video(1, NAL, key=True), timestamp_ms=40, stream_id=stream_id, csid=6))
    await rig.until(lambda: room.frames("video"))
    assert rig.metric("airnode_rtmp_protocol_errors_total", reason="malformed_media") == 198
    peer.send(malformed * 100)
    assert await peer.status() == "NetStream.Publish.Failed"
    assert await peer.closes()
    await rig.until(lambda: room.closed == ["malformed_media"])
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


# --- start and stop


async def test_drain_disconnects_the_publishers_and_accepts_no_more(rig: Rig) -> None:
    peer, _, room = await rig.publisher()
    await rig.server.drain()
    assert (await peer.answer("onStatus"))[2]["description"] == "The server is shutting down; connect again."  # type: ignore[index]
    assert await peer.closes()
    await rig.until(lambda: room.closed == ["disconnected"])
    other = await RtmpPublisher.connect(rig.server.port)
    _, code = await other.publish("algebra?key=" + KEY)
    assert code == "NetStream.Publish.BadName"
    assert await other.closes()
    assert rig.metric("airnode_rtmp_rejected_total", reason="draining") == 1
    await peer.aclose()
    await other.aclose()


async def test_stop_sends_a_status_to_the_publishers() -> None:
    async with running() as rig:
        peer, _, room = await rig.publisher()
        idle = await RtmpPublisher.connect(rig.server.port)
        await idle.handshake()
        stopping = asyncio.get_running_loop().create_task(rig.server.stop())
        assert (await peer.answer("onStatus"))[2]["description"] == "The server is shutting down; connect again."  # type: ignore[index]
        assert await peer.closes()
        await peer.aclose()
        await idle.aclose()
        await stopping
        assert room.closed == ["disconnected"]
        with pytest.raises(ConnectionError):
            await RtmpPublisher.connect(rig.server.port)
        await rig.server.stop()


async def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rig = Rig(port=port)
        with pytest.raises(StartupError) as caught:
            await rig.server.start()
        assert str(caught.value) == (
            f"Port {port} for RTMP is in use by another program; stop it, "
            "or choose another port with --rtmp-port (0 takes any free one)."
        )
        await rig.server.stop()


async def test_an_address_of_another_machine() -> None:
    server = RtmpServer(RtmpSection(port=0), "192.0.2.1", Authority(), Hub(), CollectorRegistry())
    with pytest.raises(StartupError, match=r"Cannot listen on 192\.0\.2\.1"):
        await server.start()
    await server.stop()


# --- RTMPS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.ffmpeg
async def test_ffmpeg_publishes_over_tls(certificate: tuple[Path, Path]) -> None:
    async with running(tls_port=0, tls_cert=certificate[0], tls_key=certificate[1]) as rig:
        assert rig.server.tls_port not in (0, None, rig.server.port)
        url = f"rtmps://127.0.0.1:{rig.server.tls_port}/live/{KEY}"
        code, errors = await ffmpeg(*VIDEO, *AUDIO, "-t", "2", *H264, *AAC, "-f", "flv", url)
        assert code == 0, errors
        await rig.no_connections()
        assert len(rig.hub.rooms[0].frames("video")) == 60
        assert rig.authority.requests[0].secure
        code, errors = await ffmpeg(*VIDEO, "-t", "30", *H264, "-f", "flv", url.replace(KEY, "wrong"))
        assert code != 0
        assert "The stream key is wrong." in errors


async def test_half_open_tls_counts_and_ends(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    async with running(tls_port=0, tls_cert=cert, tls_key=key, max_connections=1, handshake_timeout_s=0.3) as rig:
        assert rig.server.tls_port is not None
        with capture_logs() as logs:
            silent = await RtmpPublisher.connect(rig.server.tls_port)
            rejected = await RtmpPublisher.connect(rig.server.port)
            assert await rejected.closes()
            assert await silent.closes()
            await rig.until(lambda: rig.metric("airnode_rtmp_protocol_errors_total", reason="tls") == 1)
        assert [entry["reason"] for entry in logs] == ["too_many_connections", "tls"]
        await silent.aclose()
        await rejected.aclose()
        trust = ssl.create_default_context(cafile=cert)
        peer = await RtmpPublisher.connect(rig.server.tls_port, tls=trust)
        _, code = await peer.publish(KEY)
        assert code == "NetStream.Publish.Start"
        await peer.aclose()


@pytest.mark.parametrize("fault", ["no certificate", "missing file", "not a certificate", "key of another"])
async def test_a_broken_certificate_is_one_clear_error(
    certificate: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    cert, key = certificate
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    files = {
        "no certificate": {},
        "missing file": {"tls_cert": tmp_path / "none.pem", "tls_key": key},
        "not a certificate": {"tls_cert": garbage, "tls_key": key},
        "key of another": {"tls_cert": cert, "tls_key": other},
    }[fault]
    rig = Rig(tls_port=0, **files)
    with pytest.raises(StartupError, match=r"rtmp\.tls_cert.*rtmp\.tls_key") as caught:
        await rig.server.start()
    assert "\n" not in str(caught.value)
    await rig.server.stop()
