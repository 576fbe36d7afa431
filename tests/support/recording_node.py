"""A node that records, and conditions to wait for."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.ffmpeg import Publisher
from tests.support.hls import read_media
from tests.support.node import AirnodeProcess, Api
from tests.support.recordings import Recordings
from tests.support.waiting import eventually

ROOMY = ("--set", "recording.min_free_bytes=0")

ALL = (*ROOMY, "--set", "recording.mode=all")


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


async def wait_for_state(api: Api, token: str, state: str = "live") -> None:
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

    async def reported() -> bool:
        room, (_, state) = await api.room(recordings.token), await recordings.call("GET", "/recording")
        return room["recording"] is expected and state["recording"] is expected

    await eventually(reported, 20, f"recording is {expected}")


async def healthy(api: Api, expected: bool) -> str:
    """Wait until the health check of recordings has this result, and return its remark."""

    async def reported() -> dict[str, Any] | None:
        report = await health(api)
        check = report["checks"]["recording"]
        return check if check["ok"] is expected and (expected or report["status"] == "degraded") else None

    found = await eventually(reported, 20, f"the health check of recordings is {expected}")
    assert found is not None
    return str(found["detail"])


async def health(api: Api) -> dict[str, Any]:
    _, _, body = await api.get(f"{api.node['api_url']}/health")
    found: dict[str, Any] = json.loads(body)
    return found


async def alarmed(node: AirnodeProcess, api: Api, expected: bool) -> None:
    headers = {"Authorization": f"Bearer {node['teacher_secret']}"}

    async def seen() -> bool:
        _, _, body = await api.get(f"{node['api_url']}/cluster/nodes", headers=headers)
        shown = json.loads(body)["nodes"][0]
        assert shown["alarms"] == [notice["text"] for notice in shown["notices"]]
        return bool(shown["alarms"]) is expected

    await eventually(seen, what=f"/cluster/nodes has {'an' if expected else 'no'} alarm")
