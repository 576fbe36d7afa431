"""The MediaMTX engine against a fake of MediaMTX (tests/support/mediamtx_fake.py), all of them processes.

test_mediamtx_real.py tests the same against a real MediaMTX, where there is one.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from tests.support.follower import Follower
from tests.support.livemp4 import AUDIO, VIDEO, LiveReader
from tests.support.mediamtx import FakePublisher, make_program, report, written
from tests.support.mediamtx_lesson import WITHIN_S, Lesson, engine, lines, metric, open_class
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    directory = tmp_path_factory.mktemp("studio")
    node = AirnodeProcess(directory / "data", *engine(make_program(directory)))
    try:
        yield await node.start(60)
    finally:
        await node.close()


@pytest.fixture(scope="module")
def opus_clip(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip with Opus audio, like that of browsers."""
    path = tmp_path_factory.mktemp("opus") / "clock.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(clip), "-t", "40", "-c:v", "copy", "-c:a", "libopus", str(path)], check=True
    )
    return path


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def lesson(studio: AirnodeProcess, session: aiohttp.ClientSession) -> Lesson:
    return await open_class(studio, session)


async def decoded(media: bytes, track: str) -> tuple[int, str]:
    """Return the number of frames that ffmpeg decodes of a track, and its error output."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        "-i",
        "pipe:0",
        "-map",
        f"0:{track}",
        "-f",
        "framecrc",
        "-",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate(media)
    return sum(line.startswith(b"0,") for line in output.splitlines()), errors.decode()


# -- viewers ----------------------------------------------------------------------------------------------------------


async def test_media_from_srt_plays_from_airnodes_addresses(lesson: Lesson, clip: Path):
    publisher = await FakePublisher(lesson.api, f"live/{lesson.room}", query=f"key={lesson.key}").start(clip)
    follower = Follower(lesson.session, lesson.url("media.m3u8"))
    live = LiveReader(lesson.session, lesson.url("live.mp4"))
    try:
        await lesson.until_playing()
        await asyncio.gather(follower.start(), live.start())
        await follower.segments(2, WITHIN_S)
        stream = await live.fragments(30, WITHIN_S)
        state = await eventually(lesson.flowing, WITHIN_S, "the bit rate is known")
    finally:
        await asyncio.gather(follower.stop(), live.close(), publisher.stop())
    assert follower.msns == list(range(follower.msns[0], follower.msns[0] + len(follower.msns)))
    assert follower.media_playlist.control["CAN-BLOCK-RELOAD"] == "YES"
    for track, frames in (("v", 45), ("a", 60)):
        count, errors = await decoded(follower.media(), track)
        assert count >= frames, track
        assert errors == ""
    assert live.headers["Content-Type"] == 'video/mp4; codecs="avc1.42c01e,mp4a.40.2"'
    pictures = [sample.time for sample in stream.samples(VIDEO)]
    assert all(2_900 <= after - before <= 3_100 for before, after in itertools.pairwise(pictures)), (
        "no frame is missing"
    )
    sounds = [sample.time for sample in stream.samples(AUDIO)]
    assert sounds == sorted(sounds)
    assert len(sounds) > 20
    assert state["viewers"] == 1, "one token, two ways of watching"
    assert state["stream"]["encoder"] == "SRT (MediaMTX)"
    assert (state["stream"]["video_codecs"], state["stream"]["audio_codecs"]) == ("avc1.42c01e", "mp4a.40.2")
    await mediamtx_received_nothing_of_viewers(lesson)


async def mediamtx_received_nothing_of_viewers(lesson: Lesson) -> None:
    """Check that MediaMTX got no tokens and sessions, and that no log has secrets."""
    secret = written(lesson.node.data_dir)["hlsCDNSecret"]
    fake_report = await report(lesson.api)
    seen = [each for each in fake_report["hls_requests"] if each[0].startswith(f"/live/{lesson.room}/")]
    assert len(seen) > 20
    assert {authorization for _, _, authorization in seen} == {f"Bearer {secret}"}
    assert all(query.startswith("_HLS_msn=") or not query for _, query, _ in seen)
    assert lesson.token not in json.dumps(fake_report)
    assert not [each for each in fake_report["auth_requests"] if each["action"] == "read"], (
        "HLS is read without a session"
    )
    names = [path for path, query, _ in seen if "_part" in path]
    assert len(names) == len(set(names)), "each part is fetched once"
    for hidden in (secret, lesson.key, lesson.token, urlsplit(written(lesson.node.data_dir)["authHTTPAddress"]).path):
        assert hidden not in lesson.node.log


async def test_a_class_waits_for_its_publisher_and_continues_from_a_browser(
    lesson: Lesson, clip: Path, opus_clip: Path
):
    first = await FakePublisher(lesson.api, f"live/{lesson.key}", protocol="rtsp").start(clip)
    follower = Follower(lesson.session, lesson.url("media.m3u8"))
    browsers = {"protocol": "webrtc", "token": lesson.key, "tracks": ["H264", "Opus"]}
    again = FakePublisher(lesson.api, f"live/{lesson.room}", **browsers)
    try:
        await lesson.until_playing()
        await follower.start()
        await follower.more_parts(3, WITHIN_S)
        await first.stop()
        await lesson.until("reconnecting")
        await again.start(opus_clip)
        await lesson.until("live")
        await eventually(lambda: [len(run.parts) > 9 for run in follower.runs[1:]] == [True], WITHIN_S, "it continues")
        stream = (await lesson.state())["stream"]
        assert (stream["encoder"], stream["audio_codecs"]) == ("WHIP (MediaMTX)", "opus")
        count, errors = await decoded(follower.media(1), "a")
        assert count >= 55, "ten parts of six packets, less what begins before the key frame"
        assert errors == ""
    finally:
        await asyncio.gather(follower.stop(), first.stop(), again.stop())
    assert lesson.key not in lesson.node.log


# -- authorization ----------------------------------------------------------------------------------------------------


async def test_only_the_stream_key_opens_a_room_and_for_one_publisher(lesson: Lesson, clip: Path):
    before = await metric(lesson.session, lesson.node, "airnode_media_mediamtx_refused_total")
    problem = await lesson.refusal(query="key=guess")
    assert (problem["status"], problem["code"]) == (401, "publish_refused")
    assert problem["detail"] == "The stream key is not right; copy it from the studio page."
    assert (await lesson.refusal(path=f"other/{lesson.key}"))["detail"].startswith("Publish to the app 'live'")
    assert (await lesson.refusal(user="teacher", password="guess"))["status"] == 401
    assert (await lesson.refusal(token=lesson.token))["status"] == 401, "a student's token is no stream key"
    another = await open_class(lesson.node, lesson.session)
    assert (await lesson.refusal(query=f"key={another.key}"))["status"] == 401
    publisher = await FakePublisher(lesson.api, f"live/{lesson.room}", password=lesson.key, user="obs").start(clip)
    try:
        await lesson.until_playing()
        for second in ({"query": f"key={lesson.key}"}, {"path": f"live/{lesson.key}"}):
            problem = await lesson.refusal(**second)
            assert (problem["status"], problem["code"]) == (409, "conflict")
        assert (await lesson.state())["state"] == "live"
    finally:
        await publisher.stop()
    assert await metric(lesson.session, lesson.node, "airnode_media_mediamtx_refused_total") == before + 7


async def test_only_airnode_reads_from_mediamtx(lesson: Lesson, clip: Path):
    publisher = await FakePublisher(lesson.api, f"live/{lesson.room}", query=f"key={lesson.key}").start(clip)
    try:
        await lesson.until_playing()
        base = f"http://{written(lesson.node.data_dir)['hlsAddress']}/live/{lesson.room}"
        for query, headers in (
            ("", {}),
            (f"&jwt={lesson.token}", {}),
            (f"&key={lesson.key}", {}),
            ("", {"Authorization": f"Bearer {lesson.token}"}),
            ("", {"Authorization": f"Bearer {lesson.key}"}),
            ("", {"Authorization": aiohttp.encode_basic_auth("airnode", lesson.key)}),
        ):
            url = f"{base}/index.m3u8?cookieCheck=1{query}"
            async with lesson.session.get(url, headers=headers, allow_redirects=False) as response:
                assert response.status == 401
        async with lesson.session.get(f"{base}/video1_stream.m3u8?session=x") as response:
            assert response.status == 401
        for headers in ({}, {"Authorization": aiohttp.encode_basic_auth("airnode", lesson.key)}):
            async with lesson.session.get(f"{lesson.api}/v3/paths/list", headers=headers) as response:
                assert response.status == 401
    finally:
        await publisher.stop()


async def test_the_banner_and_the_studio_show_the_addresses_for_all_protocols(lesson: Lesson):
    address = await lesson.address()
    for protocol in ("srt", "rtsp", "whip"):
        url = address[f"{protocol}_url"]
        assert lesson.key in url
        assert url.replace(lesson.key, lesson.node["stream_key"]) in lesson.node.log


async def test_nobody_reaches_the_hook_without_its_secret(lesson: Lesson):
    address = urlsplit(written(lesson.node.data_dir)["authHTTPAddress"])
    body = {"action": "publish", "path": f"live/{lesson.key}", "protocol": "srt", "ip": "127.0.0.1"}
    before = await metric(lesson.session, lesson.node, "airnode_media_mediamtx_intruders_total")
    for path in ("/mediamtx/x", f"{address.path}x", address.path[:-1]):
        async with lesson.session.post(f"http://{address.netloc}{path}", json=body) as response:
            assert response.status == 404
    assert await metric(lesson.session, lesson.node, "airnode_media_mediamtx_intruders_total") == before + 3
    for port in ("api_url", "media_url"):
        async with lesson.session.post(f"{lesson.node[port]}{address.path}", json=body) as response:
            assert response.status in (404, 405), "it is on a port of its own"
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("127.0.0.2", address.port or 0))
    for body in (b"", b"[]", b'{"action": 1}', b"x" * 70_000):
        async with lesson.session.post(address.geturl(), data=body) as response:
            assert response.status in (400, 413)
    mode = (lesson.node.data_dir / "mediamtx" / "mediamtx.yml").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert lesson.room not in [line["room"] for line in lines(lesson.node, "publisher_joined")]


async def test_a_picture_that_cannot_be_played_is_shown_and_ends_the_publisher(lesson: Lesson, clip: Path):
    publisher = FakePublisher(lesson.api, f"live/{lesson.room}", query=f"key={lesson.key}", tracks=["VP8", "Opus"])
    await publisher.start(clip)

    async def shown() -> bool:
        return "The picture comes in the codec VP8" in str((await lesson.state())["stream"])

    try:
        await eventually(shown, WITHIN_S, "the studio shows it")
        await publisher.ended(WITHIN_S)
    finally:
        await publisher.stop()
    kicked = [line for line in lines(lesson.node, "mediamtx_publisher_kicked") if line["room"] == lesson.room]
    assert kicked[0]["reason"] == "The codec VP8 cannot be played in browsers; send H.264."
    await lesson.until("reconnecting")


# -- failures --------------------------------------------------------------------------------------------------------


async def test_a_crashed_mediamtx_is_started_again_and_the_class_continues(lesson: Lesson, clip: Path):
    publisher = await FakePublisher(lesson.api, f"live/{lesson.room}", query=f"key={lesson.key}").start(clip)
    again = None
    before = await metric(lesson.session, lesson.node, "airnode_media_mediamtx_restarts_total")
    try:
        await lesson.until_playing()
        starts = len(lines(lesson.node, "process_restarted"))
        os.kill(int((lesson.node.data_dir / "mediamtx.lock").read_text()), signal.SIGKILL)
        await lesson.until("reconnecting")
        await eventually(lambda: len(lines(lesson.node, "process_restarted")) > starts, WITHIN_S, "it is started again")
        again = await FakePublisher(lesson.api, f"live/{lesson.room}", query=f"key={lesson.key}").start(clip)
        await lesson.until("live")
        async with lesson.session.get(f"{lesson.node['api_url']}/health") as response:
            assert response.status == 200
        assert await metric(lesson.session, lesson.node, "airnode_media_mediamtx_restarts_total") == before + 1
    finally:
        await publisher.stop()
        if again is not None:
            await again.stop()
