"""A publisher that disappeared without closing its connection, and its successor with the same key."""

from pathlib import Path

import pytest

from tests.support.flvfile import read_tags
from tests.support.node import Classroom
from tests.support.tag_publisher import Tag, TagPublisher
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(60)]


def first_s(clip: Path, seconds: float) -> list[Tag]:
    return [Tag(kind, at_ms, body) for kind, at_ms, body in read_tags(clip) if at_ms < seconds * 1000]


async def test_the_successor_of_a_lost_publisher_gets_in_at_once(classroom: Classroom, clip: Path) -> None:
    lost = await TagPublisher(classroom, first_s(clip, 1.0)).start()
    await eventually(lambda: lost.sent, what="everything was sent")
    successor = await TagPublisher(classroom, first_s(clip, 5.0)).start()
    try:
        assert successor.started == "NetStream.Publish.Start"
        await eventually(lambda: lost.ended, what="the lost publisher is disconnected")
        assert "another publisher with the same key took over" in str(lost.statuses)
        assert not successor.ended
    finally:
        await successor.stop()
        await lost.stop()


async def test_a_live_publisher_stays(classroom: Classroom, clip: Path) -> None:
    live = await TagPublisher(classroom, first_s(clip, 30.0)).start()
    second = await TagPublisher(classroom, []).start()
    try:
        assert second.started == "NetStream.Publish.BadName"
        assert (live.ended, live.sent) == (False, False)
    finally:
        await second.stop()
        await live.stop()
