"""ffmpeg as an encoder: what arrives in the room, and what ffmpeg shows when it is refused."""

import itertools
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from airnode.media.frames import AudioConfig, StreamMetadata, VideoConfig
from tests.support.elementary import (
    AAC,
    AUDIO,
    H264,
    VIDEO,
    annex_b,
    annex_b_frame,
    avc_parameter_sets,
    count_decoded_frames,
    hevc_parameter_sets,
    run_ffmpeg,
)
from tests.support.rtmp import (
    box_body,
    boxes,
    chunk,
    tag_enhanced,
)
from tests.support.rtmp_server import KEY, Rig


@pytest.mark.ffmpeg
@pytest.mark.parametrize(("path", "room"), [(f"live/{KEY}", "stream"), (f"live/algebra?key={KEY}", "algebra")])
async def test_ffmpeg_publishes(rig: Rig, tmp_path: Path, path: str, room: str) -> None:
    with capture_logs() as logs:
        url = f"rtmp://127.0.0.1:{rig.server.port}/{path}"
        code, errors = await run_ffmpeg(*VIDEO, *AUDIO, "-t", "3", *H264, *AAC, "-f", "flv", url)
        assert code == 0, errors
        await rig.no_connections()
    made = rig.hub.rooms[0]
    assert made.name == room
    assert rig.authority.requests[0].app == "live"
    config = made.events_of(VideoConfig)
    assert [(event.codecs, event.width, event.height) for event in config if isinstance(event, VideoConfig)] == [
        ("avc1.42c01e", 640, 360)
    ]
    assert isinstance(config[0], VideoConfig)
    assert config[0].frame_rate == pytest.approx(30)
    audio = made.events_of(AudioConfig)[0]
    assert isinstance(audio, AudioConfig)
    assert (audio.codecs, audio.sample_rate, audio.channels) == ("mp4a.40.2", 48000, 1)
    metadata = made.events_of(StreamMetadata)[0]
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
    stream.write_bytes(
        annex_b(avc_parameter_sets(config[0].record)) + b"".join(annex_b_frame(sample.data) for sample in video)
    )
    assert await count_decoded_frames(stream) == 90


@pytest.mark.ffmpeg
async def test_b_frames_have_composition_times(rig: Rig) -> None:
    code, errors = await run_ffmpeg(
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
        code, errors = await run_ffmpeg(*VIDEO, "-t", "30", *H264, "-f", "flv", url)
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
    code, errors = await run_ffmpeg(*VIDEO, "-t", "30", *H264, "-f", "flv", url)
    assert code != 0
    assert "This class is live already." in errors
    assert room.closed == []
    assert rig.metric("airnode_rtmp_rejected_total", reason="conflict") == 1
    await peer.aclose()


@pytest.mark.ffmpeg
async def test_ffmpeg_shows_that_a_codec_cannot_be_played(rig: Rig) -> None:
    url = f"rtmp://127.0.0.1:{rig.server.port}/live/{KEY}"
    code, errors = await run_ffmpeg("-re", *VIDEO, "-t", "30", "-c:v", "flv", "-f", "flv", url)
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
    code, errors = await run_ffmpeg(
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
    config = room.events_of(VideoConfig)[0]
    assert isinstance(config, VideoConfig)
    assert (config.codec, config.width, config.height, config.record) == (codec, 640, 360, record)
    got = [frame.data for frame in room.frames("video")]
    stream = tmp_path / f"sent.{container}"
    if codec == "hevc":
        stream.write_bytes(annex_b(hevc_parameter_sets(record)) + b"".join(annex_b_frame(sample) for sample in got))
    else:
        stream.write_bytes(b"".join(b"\x12\x00" + sample for sample in got))
    assert await count_decoded_frames(stream) == len(samples) == 20
    await peer.aclose()
