"""Recording on one node: real ffmpeg as the teacher and as the player, a real disk, a real crash."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.ffmpeg import make_clip
from tests.support.hls import read_media
from tests.support.recording_node import (
    ALL,
    ROOMY,
    grown,
    publish,
    recorded,
    running,
    teacher_of,
    wait_for_state,
)
from tests.support.recordings import Recordings, decoded, probed
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


@pytest.fixture(scope="session")
def reordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with B-frames."""
    extra = ("-preset", "veryfast", "-bf", "2", "-b_strategy", "0")
    return make_clip(tmp_path_factory.mktemp("clips") / "reordered.flv", 30, extra=extra)


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
        await wait_for_state(api, recordings.token)
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
        await wait_for_state(api, recordings.token, "reconnecting")
        publisher = await publish(node, reordered)  # returns within the grace time
        await wait_for_state(api, recordings.token)
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
    assert later.startswith(first), "nothing that was reported before changes"
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
