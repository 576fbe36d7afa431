"""Encoders that are no OBS with its usual settings, in Chromium."""

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.e2e.test_class import is_state, join, moving, path_taken, strip
from tests.support.browser import DESKTOP, chromium
from tests.support.flvfile import read_tags
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.opus_clip import opus_tags
from tests.support.tag_publisher import Tag, TagPublisher
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(150)]

SECONDS = 80


def pictures(clip: Path) -> list[Tag]:
    return [Tag(kind, at_ms, body) for kind, at_ms, body in read_tags(clip) if kind == 9 and at_ms < SECONDS * 1000]


async def sound_bytes(page: Page) -> int:
    """Return how much sound the video element has decoded."""
    decoded: int = await page.evaluate("document.querySelector('video').webkitAudioDecodedByteCount")
    return decoded


@pytest.mark.parametrize("path", ["live", "hls"])
async def test_opus_is_heard(class_api: Api, classroom: Classroom, clip: Path, tmp_path: Path, path: str):
    tags = sorted([*pictures(clip), *opus_tags(tmp_path / "tone.mp4", SECONDS)], key=lambda tag: tag.at_ms)
    publisher = await TagPublisher(classroom, tags).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await join(page, classroom, path)
            await eventually(lambda: is_state(page, "live"), 40, "the page plays")
            assert await path_taken(page) == path
            await moving(page)
            before = await sound_bytes(page)

            async def heard() -> bool:
                return await sound_bytes(page) > before + 8_000

            await eventually(heard, 20, "the sound goes on")
            await moving(page)
        teacher = (await class_api.teacher())["token"]
        stream = (await class_api.room(teacher))["stream"]
        assert (stream["audio_codecs"], stream["findings"]) == ("opus", [])
        assert not publisher.ended
    finally:
        await publisher.stop()


async def test_sound_that_cannot_be_played_is_named_in_the_studio(node: AirnodeProcess, clip: Path):
    sound = [Tag(8, at_ms, b"\x2fmp3") for at_ms in range(0, SECONDS * 1000, 26)]
    tags = sorted([*pictures(clip), *sound], key=lambda tag: tag.at_ms)
    publisher = await TagPublisher(node, tags).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await join(page, node)
            await eventually(lambda: is_state(page, "live"), 40, "the page plays")
            await moving(page)
            studio = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await studio.goto(node["studio_url"])
            await eventually(lambda: strip(studio), 30, "the health strip shows figures")
            await studio.get_by_text("The sound comes in the codec MP3, which browsers cannot play.").wait_for()
            assert not publisher.ended
    finally:
        await publisher.stop()
