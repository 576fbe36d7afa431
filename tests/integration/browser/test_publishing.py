"""Publishing as a browser does, over a WebSocket, into a real node: media, keys, grace, drain, limits."""

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path

import aiohttp
import pytest

from tests.support.browser_publisher import BrowserPublisher, audio, clip_messages, config, video
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.opus_clip import opus_tags
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


async def address(class_api: Api) -> dict:
    """Return where the studio publishes to."""
    token = (await class_api.teacher())["token"]
    url = f"{class_api.node['api_url']}/api/rooms/{class_api.node.room}/stream-key"
    async with class_api.session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def accepted(class_api: Api, clip: Path | None = None) -> BrowserPublisher:
    """Return a publisher that the server has accepted; with ``clip``: it sends."""
    where = await address(class_api)
    peer = await BrowserPublisher.connect(where["browser_url"])
    await peer.publish(where["stream_key"], encoder="Chromium")
    await eventually(lambda: peer.answer("accepted"), what="the publish is accepted")
    if clip is not None:
        peer.send_in_real_time(clip_messages(clip))
    return peer


async def view(class_api: Api) -> dict:
    return await class_api.room((await class_api.teacher())["token"])


async def is_in(class_api: Api, state: str) -> bool:
    return (await view(class_api))["state"] == state


def probe(url: str) -> list[dict]:
    """Return the streams of a class as ffprobe finds them."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", "-i", url]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)["streams"]


async def metric(class_api: Api, name: str) -> float:
    async with class_api.session.get(class_api.node["api_url"] + "/metrics") as response:
        text = await response.text()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def test_a_browser_publishes_and_players_play(class_api: Api, clip: Path):
    peer = await accepted(class_api, clip)
    try:
        await eventually(lambda: is_in(class_api, "live"), what="the class is live")

        async def known() -> bool:
            stream = (await view(class_api))["stream"]
            return bool(stream and stream["video_codecs"] and stream["audio_codecs"])

        await eventually(known, what="picture and sound")
        assert (await view(class_api))["stream"]["encoder"] == "Chromium"
        await eventually(lambda: peer.acked["messages"] > 20, what="frames are acknowledged")
        student = await class_api.student()
        streams = await asyncio.to_thread(probe, student["hls_url"])
        assert {each["codec_name"] for each in streams} == {"h264", "aac"}
        assert await metric(class_api, "airnode_browser_received_bytes_total") > 10_000
    finally:
        await peer.aclose()


async def test_opus_becomes_aac(class_api: Api, clip: Path, tmp_path: Path):
    tags = await asyncio.to_thread(opus_tags, tmp_path / "tone.mp4", 20)
    packets = [(each.at_ms, audio(each.at_ms * 1000, each.body[5:])) for each in tags[1:]]
    head = tags[0].body[5:]
    dops = b"\0" + head[9:10] + head[10:12][::-1] + head[12:16][::-1] + head[16:18][::-1] + head[18:19]
    pictures = [each for each in clip_messages(clip) if each[1][0] == 2 or each[1][:2] == b"\x01\x01"]
    peer = await accepted(class_api)
    try:
        mixed = sorted([(0, config("opus", dops)), *pictures, *packets], key=lambda each: each[0])
        peer.send_in_real_time(iter(mixed))

        async def known() -> bool:
            stream = (await view(class_api))["stream"]
            return bool(stream and stream["video_codecs"] and stream["audio_codecs"])

        await eventually(known, what="picture and sound")
        assert (await view(class_api))["stream"]["audio_codecs"] == "mp4a.40.2"
        streams = await asyncio.to_thread(probe, (await class_api.student())["hls_url"])
        assert {each["codec_name"] for each in streams} == {"h264", "aac"}
        assert await metric(class_api, "airnode_browser_sound_cpu_seconds_total") > 0
    finally:
        await peer.aclose()


async def test_a_lost_connection_is_waited_for_and_a_stop_is_not(class_api: Api, clip: Path):
    peer = await accepted(class_api, clip)
    await eventually(lambda: is_in(class_api, "live"), what="live")
    epoch = (await view(class_api))["epoch"]
    await peer.aclose()
    await eventually(lambda: is_in(class_api, "reconnecting"), what="waits for the publisher")
    peer = await accepted(class_api, clip)
    try:
        await eventually(lambda: is_in(class_api, "live"), what="live again")
        assert (await view(class_api))["epoch"] == epoch
        await peer.ws.send_str('{"type": "stop"}')
        await eventually(lambda: is_in(class_api, "ended"), what="the class is over at once")
    finally:
        await peer.aclose()


async def test_a_class_that_is_ended_elsewhere_says_so(class_api: Api, clip: Path):
    peer = await accepted(class_api, clip)
    try:
        await eventually(lambda: is_in(class_api, "live"), what="live")
        token = (await class_api.teacher())["token"]
        url = f"{class_api.node['api_url']}/api/rooms/{class_api.node.room}/end"
        async with class_api.session.post(url, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status < 300, await response.text()
        await eventually(lambda: peer.close_code, what="the publisher is sent away")
        refusal = peer.answer("refused")
        assert refusal is not None
        assert (refusal["code"], refusal["status"]) == ("class_over", 409)
        assert await is_in(class_api, "ended")
    finally:
        await peer.aclose()


async def test_wrong_keys_and_second_publishers_are_refused(class_api: Api, clip: Path):
    where = await address(class_api)
    wrong = await BrowserPublisher.connect(where["browser_url"])
    await wrong.publish("wrong-key")
    await eventually(lambda: wrong.close_code, what="the wrong key is refused")
    assert wrong.close_code == 4403
    refusal = wrong.answer("refused")
    assert refusal is not None
    assert "stream key is not right" in refusal["detail"]
    first = await accepted(class_api, clip)
    second = await BrowserPublisher.connect(where["browser_url"])
    try:
        await eventually(lambda: is_in(class_api, "live"), what="live")
        await second.publish(where["stream_key"])
        await eventually(lambda: second.close_code, what="the second is refused")
        assert second.close_code == 4409
        assert first.close_code is None
        assert await is_in(class_api, "live")
        assert where["stream_key"] not in class_api.node.log
    finally:
        for peer in (wrong, first, second):
            await peer.aclose()


async def test_a_picture_without_a_key_frame_asks_for_one(class_api: Api, clip: Path):
    messages = list(clip_messages(clip))
    keys = [index for index, (_, each) in enumerate(messages) if each[:2] == b"\x02\x01"]
    configs = [each for each in messages[:20] if each[1][0] == 1]
    peer = await accepted(class_api)
    try:
        peer.send_in_real_time(iter([*configs, *messages[keys[0] + 1 : keys[0] + 40]]))
        await eventually(lambda: peer.answer("key_frame"), what="a key frame is requested")
        assert peer.answer("key_frame") == {"type": "key_frame", "reason": "period"}
    finally:
        await peer.aclose()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\xff\xff", 4400),
        ("not json", 4400),
        (bytes(9 << 20), None),
        (b"\x02\x01", 4400),
        ('{"type":"publish","key":"x"}', 4400),
        (b"\x01\x01" + bytes(9000), 4413),
    ],
    ids=["kind", "text", "too-large", "cut", "twice", "record"],
)
async def test_nonsense_ends_only_its_own_connection(class_api: Api, clip: Path, sent: bytes | str, code: int | None):
    peer = await accepted(class_api, clip)
    try:
        await eventually(lambda: is_in(class_api, "live"), what="live")
        with contextlib.suppress(ConnectionError):  # the server does not read a message that is too large
            await (peer.ws.send_bytes(sent) if isinstance(sent, bytes) else peer.ws.send_str(sent))
        await eventually(lambda: peer.close_code, what="the connection is closed")
        if code is not None:
            assert peer.close_code == code
            refusal = peer.answer("refused")
            assert refusal is not None
            assert refusal["detail"]
        await eventually(lambda: is_in(class_api, "reconnecting"), what="the class waits")
        assert '"level":"error"' not in class_api.node.log
    finally:
        await peer.aclose()


async def test_samples_that_make_no_sense_do_not_end_the_publish(class_api: Api, clip: Path):
    peer = await accepted(class_api, clip)
    try:
        await eventually(lambda: is_in(class_api, "live"), what="live")
        last_us = 80_000_000
        for index in range(20):
            await peer.ws.send_bytes(video(last_us + index * 1000, bytes(50)))
            await peer.ws.send_bytes(audio(last_us + index * 1000, b"\x00"))
        await peer.ws.send_bytes(config("avc", b"\xff\xff"))
        before = peer.acked["messages"]
        await eventually(lambda: peer.acked["messages"] > before + 30, what="it goes on")
        assert peer.close_code is None
    finally:
        await peer.aclose()


async def test_a_drain_sends_the_publisher_away(node: AirnodeProcess, clip: Path):
    async with aiohttp.ClientSession() as session:
        api = Api(node, session)
        url = node["media_url"].replace("http", "ws", 1) + "/publish"
        peer = await BrowserPublisher.connect(url)
        try:
            await peer.publish(node["stream_key"])
            await eventually(lambda: peer.answer("accepted"), what="accepted")
            peer.send_in_real_time(clip_messages(clip))
            assert api.node is node
            stopping = asyncio.create_task(node.stop())
            await eventually(lambda: peer.close_code, what="the publisher is sent away")
            assert peer.close_code == 4503
            refusal = peer.answer("refused")
            assert refusal is not None
            assert refusal["retry_after_s"] == 0
            await stopping
        finally:
            await peer.aclose()


async def test_idle_connections_keep_no_teacher_out(class_api: Api, classroom: Classroom, clip: Path):
    where = await address(class_api)
    idle = [await BrowserPublisher.connect(where["browser_url"]) for _ in range(70)]
    try:
        peer = await accepted(class_api, clip)
        await eventually(lambda: is_in(class_api, "live"), what="the teacher is live")
        await eventually(lambda: idle[0].close_code, what="the oldest idle connection is closed")
        assert idle[0].close_code in (4429, 4408)
        await peer.aclose()
    finally:
        for each in idle:
            await each.aclose()
