"""Who may play, download, switch and remove recordings."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airnode.web.tokens import Tokens
from tests.support.node import AirnodeProcess, Api
from tests.support.recording_node import (
    ALL,
    ROOMY,
    publish,
    recorded,
    running,
    teacher_of,
)
from tests.support.recordings import Recordings

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


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


async def test_rights_of_teachers_students_and_others(tmp_path: Path, clip: Path):
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
