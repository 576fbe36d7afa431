"""From a publisher to players, over the real ports of a real process."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.ffmpeg import RATE, Publisher
from tests.support.hls import read_media
from tests.support.hls_due import Due
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


async def playing(api: Api) -> dict:
    """A student's token once the class is live."""
    student = await api.student()

    async def live() -> bool:
        return (await api.room(student["token"]))["state"] == "live"

    await eventually(live, what="the room is live")
    return student


def base_of(api: Api, token: str, room: str = "") -> str:
    return f"{api.node['media_url']}/v/{token}/{room or api.node.room}"


async def playlist(api: Api, token: str, query: str = "") -> str:
    status, _, body = await api.get(f"{base_of(api, token)}/media.m3u8{query}")
    assert status == 200, body
    return body.decode()


async def run(*command: str, within_s: float = 40) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(within_s):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
        raise AssertionError(f"{command[0]} did not end: {output.decode(errors='replace')[-2000:]}") from None
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


async def test_ffmpeg_plays_what_ffmpeg_publishes(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        student = await playing(class_api)
        code, output = await run(
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-i",
            student["hls_url"],
            "-t",
            "3",
            "-map",
            "0:v",
            "-map",
            "0:a",
            "-f",
            "framecrc",
            "-",
        )
        assert code == 0, output
        frames = [line.split(",")[0] for line in output.splitlines() if re.match(r"^[01],", line)]
        assert frames.count("0") >= 80
        assert frames.count("1") >= 120
        errors = [line for line in output.splitlines() if "rror" in line or "nvalid" in line]
        assert errors == []
    finally:
        await publisher.stop()


@pytest.mark.gstreamer
async def test_gstreamer_plays(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        student = await playing(class_api)
        process = await asyncio.create_subprocess_exec(
            "gst-launch-1.0",
            "-v",
            "souphttpsrc",
            f"location={student['hls_url']}",
            "!",
            "hlsdemux",
            "!",
            "qtdemux",
            "!",
            "h264parse",
            "!",
            "avdec_h264",
            "!",
            "identity",
            "silent=false",
            "!",
            "fakesink",
            "sync=false",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            limit=1 << 20,
        )
        assert process.stdout is not None
        shown: list[str] = []
        try:
            async with asyncio.timeout(30):
                while len(shown) < 3 * RATE:
                    line = (await process.stdout.readline()).decode(errors="replace")
                    assert line and "ERROR" not in line, line
                    shown += re.findall(r"chain .*pts: (\S+),", line)
        finally:
            process.kill()
            await process.wait()
        assert shown == sorted(set(shown)), "pictures come once and in order"
    finally:
        await publisher.stop()


async def test_a_client_without_low_latency_gets_whole_segments(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        student = await playing(class_api)

        async def three() -> list[str]:
            text = await playlist(class_api, student["token"])
            found = [line for line in text.splitlines() if line.endswith(".mp4") and "_seg" in line]
            return found if len(found) >= 3 else []

        names = await eventually(three, what="three whole segments")
        for name in names:
            status, headers, body = await class_api.get(f"{base_of(class_api, student['token'])}/{name}")
            assert (status, headers["Content-Type"]) == (200, "video/mp4")
            assert body[4:8] in (b"moof", b"styp")
    finally:
        await publisher.stop()


async def test_blocking_reload_answers_when_the_part_is_there(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        student = await playing(class_api)
        text = await playlist(class_api, student["token"])
        hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)
        assert hint is not None
        status, _, body = await class_api.get(f"{base_of(class_api, student['token'])}/{hint[1]}")
        assert status == 200
        assert body[4:8] == b"moof"
        text_then = await playlist(class_api, student["token"])
        assert f'URI="{hint[1]}",' in text_then or f'URI="{hint[1]}"\n' in text_then
        sequence = int(re.search(r"MEDIA-SEQUENCE:(\d+)", text)[1])
        last = sequence + text.count("#EXTINF")
        newer = await playlist(class_api, student["token"], f"?_HLS_msn={last + 1}&_HLS_part=0")
        assert int(re.search(r"MEDIA-SEQUENCE:(\d+)", newer)[1]) + newer.count("#EXTINF") >= last + 1
        for query in (f"?_HLS_msn={last + 10}", "?_HLS_part=1", "?_HLS_msn=x", "?_HLS_msn=-1", f"?_HLS_msn={10**15}"):
            status, _, body = await class_api.get(f"{base_of(class_api, student['token'])}/media.m3u8{query}")
            assert status == 400, (query, body)
    finally:
        await publisher.stop()


async def test_segments_can_be_fetched_until_the_end_of_their_time(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        token = (await playing(class_api))["token"]
        base, loop = base_of(class_api, token), asyncio.get_running_loop()
        due, fetched, waiting, last_s = Due(), dict[str, int](), dict[str, float](), 0.0
        while sum("_seg" in name for name in fetched) < 3:
            # What is missing in this playlist was in the one before: it left the playlist after that one was answered.
            requested_s, text = loop.time(), await playlist(class_api, token)
            due.note(read_media(text.encode()), last_s)
            last_s = requested_s
            waiting.update(due.until_s)
            due.until_s.clear()
            for name in [name for name, until_s in waiting.items() if until_s - loop.time() < 0.3]:
                status, _, _ = await class_api.get(f"{base}/{name}")
                fetched[name] = status
                del waiting[name]
            await asyncio.sleep(0.1)
        assert set(fetched.values()) == {200}, fetched
    finally:
        await publisher.stop()


async def test_media_needs_a_valid_token(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        student = await playing(class_api)
        good = student["token"]
        text = await playlist(class_api, good)
        names = ["index.m3u8", "media.m3u8", *re.findall(r"[0-9a-f]+_(?:seg|part|init)\w*\.mp4", text)[:8]]
        head, body, signature = good.split(".")
        bad = ["x", f"{head}.{body}.AAAA{signature[4:]}", f"{head}.{body}.", "null", "%00", f"{head}.e30.{signature}"]
        for name in names:
            for token in bad:
                status, _, content = await class_api.get(f"{base_of(class_api, token)}/{name}")
                assert status == 401, (name, token)
                assert b"moof" not in content
                assert b"EXTM3U" not in content
            status, _, content = await class_api.get(f"{base_of(class_api, good, 'other')}/{name}")
            assert status == 403, name
            assert b"moof" not in content
        status, _, _ = await class_api.get(f"{classroom['media_url']}/live/{classroom.room}/index.m3u8")
        assert status == 401
        status, headers, _ = await class_api.get(
            f"{classroom['media_url']}/live/{classroom.room}/index.m3u8?jwt=x", allow_redirects=False
        )
        assert status == 401
        assert "Location" not in headers
        status, _, _ = await class_api.get(f"{base_of(class_api, good)}/nothing.mp4")
        assert status == 404
    finally:
        await publisher.stop()


async def test_an_unknown_or_waiting_room_is_404(classroom: Classroom, class_api: Api):
    student = await class_api.student()
    for name in ("index.m3u8", "media.m3u8", "x_seg1.mp4"):
        status, _, body = await class_api.get(f"{base_of(class_api, student['token'])}/{name}")
        assert status == 404, body
        assert b"urn:airnode:problem:not_found" in body


async def test_a_wrong_key_is_refused_before_any_media(classroom: Classroom, class_api: Api, clip: Path):
    for url in (
        f"{classroom['rtmp_server']}/wrong-key",
        f"{classroom['rtmp_server']}/{classroom.room}",
        f"{classroom['rtmp_server']}/{classroom.room}?key=wrong",
        f"{classroom['rtmp_server']}/other?key={classroom['stream_key']}",
        classroom["rtmp_url"].replace("/live/", "/app/"),
    ):
        publisher = await Publisher.of_clip(url, clip).start()
        code, errors = await publisher.result()
        assert code != 0, url
        assert "stream key" in errors or "'live'" in errors, errors
    student = await class_api.student()
    assert (await class_api.room(student["token"]))["state"] == "waiting"
    assert classroom["stream_key"] not in classroom.log
    assert "wrong-key" not in classroom.log


async def test_the_key_may_be_a_query_parameter(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(
        f"{classroom['rtmp_server']}/{classroom.room}?key={classroom['stream_key']}", clip
    ).start()
    try:
        await playing(class_api)
    finally:
        await publisher.stop()


async def test_a_second_publisher_is_refused_until_the_first_is_silent(
    classroom: Classroom, class_api: Api, clip: Path
):
    first = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    second = third = None
    try:
        student = await playing(class_api)
        second = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
        code, errors = await second.result()
        assert code != 0
        assert "live already" in errors
        assert first.running
        first.pause()
        epoch = (await class_api.room(student["token"]))["epoch"]

        async def taken_over() -> bool:
            nonlocal third
            if third is None or not third.running:
                third = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
            return "publisher_replaced" in classroom.log

        await eventually(taken_over, what="the silent publisher is replaced")

        async def discontinuous() -> bool:
            return "#EXT-X-DISCONTINUITY\n" in await playlist(class_api, student["token"])

        await eventually(discontinuous, what="the new publisher's media follows a discontinuity")
        room = await class_api.room(student["token"])
        assert (room["state"], room["epoch"]) == ("live", epoch)
    finally:
        for publisher in (first, second, third):
            if publisher is not None:
                await publisher.kill()


async def test_a_publisher_may_return_and_sequence_numbers_continue(classroom: Classroom, class_api: Api, clip: Path):
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    student = await playing(class_api)
    before = int(re.search(r"MEDIA-SEQUENCE:(\d+)", await playlist(class_api, student["token"]))[1])
    await publisher.kill()

    async def in_state(wanted: str) -> bool:
        return (await class_api.room(student["token"]))["state"] == wanted

    await eventually(lambda: in_state("reconnecting"), what="the room waits for its publisher")
    room = await class_api.room(student["token"])
    assert 50 < room["reconnect_deadline"] - room["server_time"] <= 60
    began = room["live_since"]
    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        await eventually(lambda: in_state("live"), what="the room is live again")
        room = await class_api.room(student["token"])
        assert 0 < began == room["live_since"] < room["since"], "the class began before its publisher returned"

        async def discontinuous() -> str:
            text = await playlist(class_api, student["token"])
            return text if "#EXT-X-DISCONTINUITY\n" in text else ""

        text = await eventually(discontinuous, what="a discontinuity")
        assert int(re.search(r"MEDIA-SEQUENCE:(\d+)", text)[1]) >= before
        assert text.count("#EXT-X-MAP") == 2
    finally:
        await publisher.stop()


async def test_a_class_ends_after_its_grace_time(tmp_path: Path, clip: Path):
    import aiohttp

    node = AirnodeProcess(tmp_path / "data", "--set", "hls.grace_s=1")
    try:
        await node.start()
        async with aiohttp.ClientSession() as session:
            api = Api(node, session)
            publisher = await Publisher.of_clip(node["rtmp_url"], clip).start()
            student = await playing(api)
            await playlist(api, student["token"])
            await publisher.stop()

            async def ended() -> bool:
                return (await api.room(student["token"]))["state"] == "ended"

            await eventually(ended, what="the class has ended")
            assert (await playlist(api, student["token"])).rstrip().endswith("#EXT-X-ENDLIST")
    finally:
        await node.close()


async def test_open_publishing_where_it_is_configured(tmp_path: Path, clip: Path):
    import aiohttp

    node = AirnodeProcess(tmp_path / "data", "--set", "rtmp.open_publishing=true")
    try:
        await node.start()
        async with aiohttp.ClientSession() as session:
            api = Api(node, session)
            publisher = await Publisher.of_clip(f"{node['rtmp_server']}/stream", clip).start()
            try:
                await playing(api)
            finally:
                await publisher.stop()
    finally:
        await node.close()
