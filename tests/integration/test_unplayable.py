"""A class that is published and cannot be played: studio, admin page, log and metric say why, until it can."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.ffmpeg import make_clip
from tests.support.flvfile import read_tags
from tests.support.node import Api
from tests.support.rtmp import RtmpPublisher, chunk
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(90)]


async def codes(class_api: Api) -> tuple[set[str], set[str]]:
    """Return the codes of the class in the studio and on the admin page."""
    node, session = class_api.node, class_api.session
    room = await class_api.room((await class_api.teacher())["token"])
    headers = {"Authorization": f"Bearer {node['admin_secret']}"}
    async with session.get(f"{node['api_url']}/cluster/streams", headers=headers) as response:
        alarms = (await response.json())["alarms"]
    findings = (room["stream"] or {}).get("findings", [])
    return {each["code"] for each in findings}, {each["code"] for each in alarms if each["room"] == node.room}


async def unplayable_rooms(class_api: Api) -> float:
    async with class_api.session.get(f"{class_api.node['api_url']}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("airnode_media_rooms_unplayable"))


async def test_an_encoder_that_sends_nothing_is_an_alarm_until_it_sends(class_api: Api, tmp_path: Path) -> None:
    node = class_api.node
    tags = list(read_tags(make_clip(tmp_path / "clip.flv", 20)))
    publisher = await RtmpPublisher.connect(urlsplit(node["rtmp_url"]).port or 1935)
    stream_id, _ = await publisher.publish(node["stream_key"])

    async def is_alarm() -> bool:
        return all("unplayable_no_media" in each for each in await codes(class_api))

    await eventually(is_alarm, what="an alarm in the studio and on the admin page")
    assert await unplayable_rooms(class_api) >= 1
    assert "stream_not_playable" in node.log

    async def send() -> None:
        begin_s = time.monotonic()
        for kind, at_ms, body in tags:
            await asyncio.sleep(max(0.0, begin_s + at_ms / 1000 - time.monotonic()))
            publisher.send(chunk(kind, body, timestamp_ms=at_ms, stream_id=stream_id, csid={8: 4, 9: 6}.get(kind, 5)))

    async def has_ended() -> bool:
        return not any(code.startswith("unplayable") for each in await codes(class_api) for code in each)

    sending = asyncio.create_task(send())
    await eventually(has_ended, what="the end of the alarm")
    await eventually(lambda: "stream_playable_again" in node.log)
    sending.cancel()
    await publisher.aclose()
