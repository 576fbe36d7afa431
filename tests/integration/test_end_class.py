"""A teacher ends a class that an encoder publishes."""

from pathlib import Path

import aiohttp
import pytest

from tests.support.ffmpeg import Publisher
from tests.support.node import Api, Classroom
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(90)]


async def order_end(classroom: Classroom, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{classroom['api_url']}/api/rooms/{classroom.room}/end", headers=headers) as answer,
    ):
        return answer.status


async def test_the_class_ends_without_grace_time_and_the_encoder_cannot_bring_it_back(
    classroom: Classroom, class_api: Api, clip: Path
):
    teacher = (await class_api.teacher())["token"]
    assert await order_end(classroom, teacher) == 409, "it is not live"

    async def state() -> str:
        return str((await class_api.room(teacher))["state"])

    async def is_live() -> bool:
        return await state() == "live"

    async def has_ended() -> bool:
        found = await state()
        assert found != "reconnecting", "nobody is to wait for the teacher"
        return found == "ended"

    publisher = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        await eventually(is_live, 30, "the class is live")
        student = (await class_api.student())["token"]
        assert await order_end(classroom, student) == 403
        assert await state() == "live"
        assert await order_end(classroom, teacher) == 202
        await eventually(has_ended, 10, "the class has ended")
    finally:
        await publisher.stop()
    again = await Publisher.of_clip(classroom["rtmp_url"], clip).start()
    try:
        await eventually(lambda: "The teacher ended this class a moment ago" in classroom.log, 10, "it is refused")
        assert await state() == "ended"
    finally:
        await again.stop()
