"""Recording on one node: real ffmpeg as the teacher and as the player, a real disk, a real crash."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from airnode.web.tokens import Tokens
from tests.support.ffmpeg import Publisher, make_clip
from tests.support.hls import read_media
from tests.support.node import AirnodeProcess, Api
from tests.support.recordings import Recordings, decoded, probed
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]

ROOMY = ("--set", "recording.min_free_bytes=0")
ALL = (*ROOMY, "--set", "recording.mode=all")


@pytest.fixture(scope="session")
def reordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with B-frames."""
    extra = ("-preset", "veryfast", "-bf", "2", "-b_strategy", "0")
    return make_clip(tmp_path_factory.mktemp("clips") / "reordered.flv", 30, extra=extra)


@asynccontextmanager
async def running(tmp_path: Path, *args: str) -> AsyncIterator[tuple[AirnodeProcess, Api]]:
    node = AirnodeProcess(tmp_path / "data", *args)
    async with aiohttp.ClientSession() as session:
        try:
            yield await node.start(), Api(node, session)
        finally:
            await node.close()


async def publish(node: AirnodeProcess, clip: Path) -> Publisher:
    return await Publisher.of_clip(f"{node['rtmp_server']}/{node['stream_key']}", clip).start()


async def live(api: Api, token: str, state: str = "live") -> None:
    async def found() -> bool:
        return (await api.room(token))["state"] == state

    await eventually(found, 20, f"the class is {state}")


async def grown(recordings: Recordings, recording_id: str) -> None:
    """Wait until the samples that are published now are in the recording."""
    listed = next(each for each in await recordings.all() if each["recording_id"] == recording_id)

    async def segments() -> int:
        return len(read_media((await recordings.get(listed["playlist_url"]))[2]).segments)

    before = await segments()

    async def more() -> bool:
        return await segments() >= before + 3

    await eventually(more, 30, "three more segments")


async def teacher_of(node: AirnodeProcess, api: Api) -> Recordings:
    return Recordings(api.session, node, node, (await api.teacher())["token"])


async def recorded(api: Api, recordings: Recordings, expected: bool) -> None:
    """Wait until the room and the switch report whether it is being recorded."""

    async def told() -> bool:
        room, (_, state) = await api.room(recordings.token), await recordings.call("GET", "/recording")
        return room["recording"] is expected and state["recording"] is expected

    await eventually(told, 20, f"recording is {expected}")


async def healthy(api: Api, expected: bool) -> str:
    """Wait until the health check of recordings has this result, and return its remark."""

    async def told() -> dict[str, Any] | None:
        report = await health(api)
        check = report["checks"]["recording"]
        return check if check["ok"] is expected and (expected or report["status"] == "degraded") else None

    found = await eventually(told, 20, f"the health check of recordings is {expected}")
    assert found is not None
    return str(found["detail"])


async def health(api: Api) -> dict[str, Any]:
    _, _, body = await api.get(f"{api.node['api_url']}/health")
    found: dict[str, Any] = json.loads(body)
    return found


async def test_a_class_is_recorded_on_request_played_during_the_class_and_downloaded_later(
    tmp_path: Path, reordered: Path
):
    async with running(tmp_path, *ROOMY) as (node, api):
        recordings = await teacher_of(node, api)
        assert await recordings.call("GET", "/recording") == (
            200,
            {"recording": False, "mode": "on-request", "recording_id": None},
        )
        status, refused = await recordings.switch(True)
        assert (status, refused["code"]) == (409, "conflict")
        assert "not live" in refused["detail"]
        publisher = await publish(node, reordered)
        await live(api, recordings.token)
        assert await recordings.all() == [], "nobody asked for it"
        await recorded(api, recordings, False)

        status, started = await recordings.switch(True)
        assert (status, started["recording"]) == (200, True)
        assert await recordings.switch(True) == (200, started), "asked twice, it goes on"
        recording_id = started["recording_id"]

        await recorded(api, recordings, True)
        running_one = await recordings.until(status="recording", recording_id=recording_id)
        status, _ = await recordings.remove(recording_id)
        assert status == 409
        await watched_while_it_is_made(recordings, running_one)

        await publisher.kill()
        await live(api, recordings.token, "reconnecting")
        publisher = await publish(node, reordered)  # returns within the grace time
        await live(api, recordings.token)
        await grown(recordings, recording_id)
        status, stopped = await recordings.switch(False)
        assert (status, stopped) == (200, {"recording": False, "mode": "on-request", "recording_id": None})
        done = await recordings.until(status="finished", recording_id=recording_id)
        assert len(await recordings.all()) == 1, "the reconnect did not begin another"
        assert publisher.running, "the class goes on"
        await watched_afterwards(recordings, done)
        await downloaded(recordings, done, tmp_path)

        assert (await recordings.remove(recording_id))[0] == 204
        assert await recordings.all() == []
        assert (await recordings.get(done["playlist_url"]))[0] == 404
        assert not (node.data_dir / "recordings" / "stream").exists()
        assert (await recordings.remove(recording_id))[0] == 404
        await publisher.kill()


async def watched_while_it_is_made(recordings: Recordings, recording: dict[str, Any]) -> None:
    """The playlist only grows, its segments play, and a download has all of them."""

    async def playlist() -> bytes:
        status, headers, body = await recordings.get(recording["playlist_url"], Accept_Encoding="identity")
        assert (status, headers["Content-Type"]) == (200, "application/vnd.apple.mpegurl")
        return body

    first = await playlist()
    while len(read_media(later := await playlist()).segments) < len(read_media(first).segments) + 3:
        await asyncio.sleep(0.1)
    assert later.startswith(first), "nothing that was told before changes"
    media = read_media(later)
    assert (media.kind, media.ended) == ("EVENT", False)
    base = recording["playlist_url"].rpartition("/")[0]
    status, headers, init = await recordings.get(f"{base}/{media.segments[0].map_uri}")
    assert status == 200
    body = init
    for segment in media.segments:
        status, headers, data = await recordings.get(f"{base}/{segment.uri}")
        assert (status, headers["Accept-Ranges"]) == (200, "bytes")
        body += data
    frames, errors = await decoded(body)
    assert errors == ""
    assert frames >= 30 * (len(media.segments) - 1)
    status, headers, data = await recordings.get(recording["download_url"], Range="bytes=0-9")
    assert (status, headers.get("Accept-Ranges")) == (200, None), "it grows: there is no stable range of it"
    frames, errors = await decoded(data)
    assert errors == ""
    assert frames >= 30 * (len(media.segments) - 1)


async def watched_afterwards(recordings: Recordings, recording: dict[str, Any]) -> None:
    _, _, body = await recordings.get(recording["playlist_url"])
    media = read_media(body)
    assert media.ended
    assert sum(segment.discontinuity for segment in media.segments) >= 1
    assert media.duration_s == pytest.approx(recording["duration_s"], abs=0.01)
    frames, errors = await decoded(recordings.url(recording["playlist_url"]))
    assert errors == ""
    assert frames >= 28 * (recording["duration_s"] - 2)


async def downloaded(recordings: Recordings, recording: dict[str, Any], tmp_path: Path) -> None:
    """One regular MP4, the same bytes whole and in ranges, that ffmpeg decodes to the end without an error."""
    address = recording["download_url"]
    status, headers, whole = await recordings.get(address)
    assert (status, headers["Content-Type"], int(headers["Content-Length"])) == (200, "video/mp4", len(whole))
    assert re.fullmatch(r'attachment; filename="stream-[0-9TZ]+-[0-9a-f]+\.mp4"', headers["Content-Disposition"])
    path = tmp_path / "download.mp4"
    path.write_bytes(whole)
    found = await probed(str(path))
    assert [stream["codec_name"] for stream in found["streams"]] == ["h264", "aac"]
    assert found["streams"][0]["has_b_frames"] == 2
    assert float(found["format"]["duration"]) == pytest.approx(recording["duration_s"], abs=0.5)
    for kind, least in (("v", 28 * (recording["duration_s"] - 2)), ("a", 45 * (recording["duration_s"] - 2))):
        frames, errors = await decoded(str(path), kind)
        assert errors == ""
        assert frames >= least
    assert await decoded(recordings.url(address)) == await decoded(str(path)), "over HTTP it is the same film"
    size = len(whole)
    etag = headers["ETag"]
    middle = size // 2
    for text, start, stop in (
        ("0-99", 0, 100),
        (f"{size - 7}-", size - 7, size),
        ("-5", size - 5, size),
        (f"{middle}-{middle + 300_000}", middle, min(size, middle + 300_001)),
    ):
        status, headers, piece = await recordings.get(address, Range=f"bytes={text}")
        assert (status, headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{size}")
        assert piece == whole[start:stop]
    status, headers, _ = await recordings.get(address, Range=f"bytes={size}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")
    assert (await recordings.get(address, Range="bytes=0-9", If_Range=etag))[0] == 206
    assert (await recordings.get(address, Range="bytes=0-9", If_Range='"old"'))[0] == 200
    async with recordings.session.head(recordings.url(address)) as response:
        assert (response.status, response.content_length) == (200, size)


async def test_a_killed_node_finds_its_recording_again_and_it_plays(tmp_path: Path, clip: Path):
    async with running(tmp_path, *ALL) as (node, api):
        recordings = await teacher_of(node, api)
        publisher = await publish(node, clip)
        before = await recordings.until(status="recording", duration_s=3)
        await recorded(api, recordings, True)
        assert (await recordings.call("GET", "/recording"))[1] == {
            "recording": True,
            "mode": "all",
            "recording_id": before["recording_id"],
        }
        await node.kill()
        await publisher.kill()
        await node.start()
        recordings = await teacher_of(node, api)
        after = await recordings.until(status="interrupted", recording_id=before["recording_id"])
        assert after["duration_s"] >= before["duration_s"]
        assert after["available"]
        frames, errors = await decoded(recordings.url(after["playlist_url"]))
        assert errors == ""
        assert frames == pytest.approx(30 * after["duration_s"], abs=2)
        assert (await decoded(recordings.url(after["download_url"]))) == (frames, "")

        # The next class is another recording; a teacher may end it, and the class continues.
        publisher = await publish(node, clip)
        second = await recordings.until(status="recording", duration_s=1)
        assert second["recording_id"] > before["recording_id"]
        assert (await recordings.switch(False))[1]["recording"] is False
        await recordings.until(status="finished", recording_id=second["recording_id"])
        assert [each["status"] for each in await recordings.all()] == ["finished", "interrupted"]
        assert publisher.running
        status, third = await recordings.switch(True)
        assert status == 200
        assert third["recording_id"] not in {each["recording_id"] for each in await recordings.all()}
        await publisher.stop()
        assert await node.stop() == 0
        files = sorted(path.parent.name for path in node.data_dir.glob("recordings/stream/*/index.jsonl"))
        assert files[:2] == [before["recording_id"], second["recording_id"]]
        for each in files:
            last = (node.data_dir / "recordings/stream" / each / "index.jsonl").read_text().splitlines()[-1]
            assert json.loads(last)[0] == "end"

        # After a restart with a limit on their age, the node removes them.
        stopped_s = time.time()
        await eventually(lambda: time.time() > stopped_s + 1, 5, "the last one is old enough")
        node.args = (*node.args, "--set", "recording.max_age_s=1")
        await node.start()
        recordings = await teacher_of(node, api)

        async def none() -> bool:
            return await recordings.all() == [] and not list(node.data_dir.glob("recordings/*"))

        await eventually(none, 20, "old recordings are removed")


async def test_a_failed_disk_stops_the_recording_but_not_the_class(tmp_path: Path, clip: Path):
    """The directory cannot be created at first, as on a broken disk. Needs no root."""
    place = tmp_path / "disk"
    place.write_text("not a directory")
    async with running(tmp_path, *ALL, "--set", f"recording.dir={place}") as (node, api):
        recordings = await teacher_of(node, api)
        publisher = await publish(node, clip)
        await live(api, recordings.token)
        await eventually(lambda: "recording_stopped" in node.log, what="the log says so")
        assert str(place) in await healthy(api, False)
        await recorded(api, recordings, False)
        assert await recordings.all() == []
        await alarmed(node, api, True)
        place.unlink()
        await recordings.until(status="recording", duration_s=2, within_s=40)
        assert "recording_possible_again" in node.log
        assert publisher.running
        await healthy(api, True)
        await recorded(api, recordings, True)
        await alarmed(node, api, False)
        shutil.rmtree(place)  # the disk is removed during the recording
        await recordings.switch(False)
        assert publisher.running
        await publisher.kill()


async def alarmed(node: AirnodeProcess, api: Api, expected: bool) -> None:
    headers = {"Authorization": f"Bearer {node['teacher_secret']}"}

    async def seen() -> bool:
        _, _, body = await api.get(f"{node['api_url']}/cluster/nodes", headers=headers)
        shown = json.loads(body)["nodes"][0]
        assert shown["alarms"] == [notice["text"] for notice in shown["notices"]]
        return bool(shown["alarms"]) is expected

    await eventually(seen, what=f"/cluster/nodes has {'an' if expected else 'no'} alarm")


async def test_a_full_disk(tmp_path: Path, clip: Path):
    """A file system of five megabytes, which needs root to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        filler = place / "filler"
        filler.write_bytes(bytes(4200 << 10))
        async with running(tmp_path, *ALL, "--set", f"recording.dir={place}") as (node, api):
            recordings = await teacher_of(node, api)
            publisher = await publish(node, clip)
            before = await recordings.until(status="recording", duration_s=1)
            await eventually(lambda: "recording_stopped" in node.log, 40, "the disk is full")
            assert "No space left" in node.log

            await recorded(api, recordings, False)
            assert publisher.running
            filler.unlink()
            await eventually(lambda: "recording_possible_again" in node.log, 40, "there is room again")
            await recordings.until(
                recording_id=before["recording_id"], duration_s=before["duration_s"] + 6, within_s=40
            )
            assert publisher.running
            assert (await recordings.switch(False))[0] == 200
            done = await recordings.until(status="finished")
            _, _, body = await recordings.get(done["playlist_url"])
            assert sum(segment.discontinuity for segment in read_media(body).segments) == 1, "the gap is marked"
            frames, errors = await decoded(recordings.url(done["download_url"]))
            assert errors == ""
            assert frames == pytest.approx(30 * done["duration_s"], abs=3)
            await publisher.kill()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_disabled_recording_reports_how_to_enable_it(tmp_path: Path):
    async with running(tmp_path, *ROOMY, "--set", "recording.mode=off") as (node, api):
        recordings = await teacher_of(node, api)
        status, refused = await recordings.switch(True)
        assert (status, refused["code"]) == (409, "conflict")
        assert "recording.mode" in refused["detail"]
        assert (await recordings.call("GET", "/recording"))[1] == {
            "recording": False,
            "mode": "off",
            "recording_id": None,
        }


async def test_who_may_do_what(tmp_path: Path, clip: Path):
    async with running(tmp_path, *ALL, "--set", "recording.student_download=false") as (node, api):
        teacher = await teacher_of(node, api)
        student = Recordings(api.session, node, node, (await api.student())["token"])
        publisher = await publish(node, clip)
        found = await teacher.until(status="recording", duration_s=1)
        (shown,) = await student.all()
        assert (shown["playlist_url"], shown["download_url"]) == (found["playlist_url"], None)
        assert (await student.get(found["playlist_url"]))[0] == 200
        assert (await student.get(found["download_url"]))[0] == 403
        assert (await teacher.get(found["download_url"]))[0] == 200
        assert (await student.switch(False))[0] == 403
        assert (await student.remove(found["recording_id"]))[0] == 403
        await recorded(api, teacher, True)
        await strangers(api, node, found)
        await traversal(api, teacher, found)
        await publisher.kill()


async def strangers(api: Api, node: AirnodeProcess, found: dict[str, Any]) -> None:
    """Requests with tokens of another class or cluster, and without a token."""
    secret = json.loads((node.data_dir / "secrets.json").read_text())["jwt_secret"]
    own, forged = Tokens(secret, 600), Tokens("another-key-that-is-long-enough-for-all", 600)
    other = own.issue("mina", "teacher", "other")[0]
    names = ("playlist_url", "download_url")
    for token, expected in (
        (other, 403),
        (forged.issue("mina", "student", "stream")[0], 401),
        ("x", 401),
        (own.issue_node("node-x"), 401),
    ):
        stranger = Recordings(api.session, node, node, token)
        for name in names:
            assert (await stranger.get(found[name]))[0] == expected
        assert (await stranger.get(found["playlist_url"].replace("index.m3u8", "seg0.mp4")))[0] == expected
        for method, path in (
            ("GET", "/recordings"),
            ("GET", "/recording"),
            ("DELETE", f"/recordings/{found['recording_id']}"),
        ):
            assert (await stranger.call(method, path))[0] in (401, 403), (method, path)
        assert (await stranger.switch(False))[0] in (401, 403)
    # A valid token of another room does not open this recording under the name of that room either.
    elsewhere = Recordings(api.session, node, node, other, "other")
    for name in names:
        assert (await elsewhere.get(found[name]))[0] == 404
    assert (await elsewhere.all()) == []
    assert (await elsewhere.remove(found["recording_id"]))[0] == 404
    relay = f"{node['media_url']}/relay/stream/{found['playlist_url']}"
    for token, expected in ((other, 403), ("", 401), ("x", 401), (own.issue_node("node-x"), 200)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert (await api.get(relay, headers=headers))[0] == expected


async def traversal(api: Api, teacher: Recordings, found: dict[str, Any]) -> None:
    """Only the files that a playlist names are served."""
    recording_id = found["recording_id"]
    for path in (
        "recordings/../../node_id",
        "recordings/%2e%2e/%2e%2e",
        f"recordings/{recording_id}/index.jsonl",
        f"recordings/{recording_id}/media.mp4",
        f"recordings/{recording_id}/..%2f..%2f..%2fnode_id",
        f"recordings/%2e%2e%2fstream%2f{recording_id}/index.m3u8",
        "recordings/x/index.m3u8",
        f"recordings/{recording_id}/seg99999.mp4",
        f"recordings/{recording_id}%00/index.m3u8",
    ):
        status, _, body = await raw(teacher.url(path))
        assert status in (400, 404), path
        assert b"node-" not in body


async def raw(url: str) -> tuple[int, dict[str, str], bytes]:
    """GET with a client that does not normalize the path."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(20):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), {}, body
    finally:
        writer.close()
        await writer.wait_closed()
