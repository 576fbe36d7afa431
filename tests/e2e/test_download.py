"""A recording and its download in Chromium, where the stream changed during the class."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from airnode.config.sections.hls import HlsSection
from airnode.media.recording.disk import RecordingFile, SegmentToWrite
from airnode.media.recording.index import BeginEntry, InitEntry, SegmentEntry, SegmentIndex
from airnode.media.recording.progressive import build_progressive
from tests.support.browser import DESKTOP, chromium
from tests.support.database import EmptyDatabase
from tests.support.flvfile import read_events
from tests.support.hls import read_media
from tests.support.node import AirnodeProcess
from tests.support.publisher import Recorder
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(120)]

CLIP_S = 2
RECORDING = "20261130T100000Z-5f0c2a91"
_PICTURE = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30")
#: {name: (size of the picture; empty: there is none, whether it has sound)}.
CLIPS = {
    "wide": ("640x360", True),
    "tall": ("360x640", True),
    "large": ("1280x720", True),
    "mute": ("640x360", False),
    "radio": ("", True),
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with each clip as ``<name>.flv``."""
    directory = tmp_path_factory.mktemp("downloads")
    for name, (size, sounds) in CLIPS.items():
        picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30") if size else ()
        tone = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000") if sounds else ()
        codecs = (*(_PICTURE if size else ()), *(("-c:a", "aac") if sounds else ()))
        output = str(directory / f"{name}.flv")
        subprocess.run(["ffmpeg", "-v", "error", *picture, *tone, "-t", str(CLIP_S), *codecs, output], check=True)
    return directory


def recorded(clips: Path, names: tuple[str, ...]) -> Recorder:
    """Return a class whose publisher came anew with each of these clips."""
    recorder = Recorder(HlsSection(segment_count=100))
    start_s = recorder.start_unix_s
    for number, name in enumerate(names):
        if number:
            recorder.packager.restart()
        for _, events in read_events(clips / f"{name}.flv", start_s):
            recorder.packager.push(events)
            recorder.look()
        start_s += CLIP_S + 1
    return recorder.finish()


def download(clips: Path, names: tuple[str, ...]) -> bytes:
    """Return the file of the class."""
    recorder = recorded(clips, names)
    index, media, init = SegmentIndex(BeginEntry(1, RECORDING, "stream", "node", 1.7e9, 2)), b"", ""
    for msn, body in sorted(recorder.bodies.items()):
        if recorder.maps[msn] != init:
            init = recorder.maps[msn]
            index.append(InitEntry(len(media), len(recorder.inits[init])))
            media += recorder.inits[init]
        index.append(SegmentEntry(len(media), len(body), 1.0, 0.0, False))
        media += body
    made = build_progressive(index, lambda at, size: media[at : at + size])
    return made.head + media[made.offset_bytes : made.offset_bytes + made.size_bytes]


def keep(directory: Path, recorder: Recorder) -> None:
    """Write the class as a recording that a node has."""
    file = RecordingFile(directory, BeginEntry(1, directory.name, directory.parent.name, "node", 1.7e9, 2))
    for segment in read_media(recorder.window.media_playlist()).segments:
        if segment.gap:
            continue
        body, init = recorder.body(segment.uri), recorder.body(segment.map_uri)
        file.write(
            SegmentToWrite(
                segment.msn, init, [body], len(body), segment.duration_s, 1.7e9 + segment.msn, segment.discontinuity
            )
        )
    file.finish(1.7e9 + 60)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    """A page beside ``film.mp4`` in ``tmp_path``, with ranges."""
    app = web.Application()
    app.router.add_static("/", tmp_path)
    (tmp_path / "index.html").write_text("<video muted></video>")
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/index.html")
            yield page
    finally:
        await runner.cleanup()


_PLAY = """() => {
    const video = document.querySelector('video');
    window.sizes = [];
    video.onresize = () => sizes.push(video.videoWidth + 'x' + video.videoHeight);
    video.src = 'film.mp4';
    video.play();
}"""
_STATE = """() => {
    const video = document.querySelector('video');
    return {ended: video.ended, error: video.error && video.error.message, at: video.currentTime, sizes,
            length: video.duration, frames: video.getVideoPlaybackQuality().totalVideoFrames};
}"""
_SEEK = """(part) => new Promise(resolve => {
    const video = document.querySelector('video');
    video.onseeked = () => video.requestVideoFrameCallback(
        () => resolve(video.error ? video.error.message : video.videoWidth + 'x' + video.videoHeight));
    video.currentTime = video.duration * part;
    video.play();
})"""


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        pytest.param(("wide", "tall", "wide"), ["360x640", "640x360"], id="rotate"),
        pytest.param(("wide", "large"), ["1280x720"], id="size_up"),
        pytest.param(("mute", "wide"), [], id="sound_later"),
        pytest.param(("wide", "mute"), [], id="sound_vanishes"),
    ],
)
async def test_a_download_plays_through_a_change(page: Page, tmp_path: Path, clips: Path, names, sizes):
    (tmp_path / "film.mp4").write_bytes(download(clips, names))
    await page.evaluate(_PLAY)

    async def over() -> dict | None:
        state = await page.evaluate(_STATE)
        return state if state["ended"] or state["error"] else None

    state = await eventually(over, 60, "the film is over")
    assert not state["error"], state
    assert state["length"] == pytest.approx(CLIP_S * len(names), abs=0.4)
    assert state["frames"] >= 28 * CLIP_S * len(names)
    # Before the first picture Chromium reports the size of any of the sample entries.
    assert state["sizes"][-len(sizes) :] == sizes or not sizes
    shown = [CLIPS[name][0] for name in names]
    for number, size in enumerate(shown):
        assert await page.evaluate(_SEEK, (number + 0.6) / len(names)) == size
    assert await page.evaluate(_SEEK, 0.1) == shown[0]


async def test_a_recording_plays_on_where_the_picture_comes_and_goes(
    tmp_path: Path, clips: Path, empty_database: EmptyDatabase
):
    data_dir = await empty_database.lay(tmp_path / "data")
    keep(data_dir / "recordings" / "stream" / RECORDING, recorded(clips, ("radio", "wide", "radio")))
    node = AirnodeProcess(data_dir)
    try:
        await node.start()
        async with chromium() as browser:
            page = await browser.new_page(viewport=DESKTOP, locale="en-US")
            await page.goto(f"{node['class_url']}?recording={RECORDING}#join")
            await page.get_by_label("Speed").select_option("2")
            await page.evaluate("document.querySelector('video').volume = 0.5")
            await _seek_over_borders(page)
            assert await page.evaluate(
                "[document.querySelector('video').playbackRate, document.querySelector('video').volume]"
            ) == [2, 0.5]
    finally:
        await node.close()


async def _seek_over_borders(page: Page) -> None:
    """From the start to the end, back to the picture, and to the sound before it."""
    position = page.get_by_label("Position")

    async def position_s() -> float:
        return float(await position.input_value())

    async def picture() -> bool:
        return await page.evaluate("document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames") > 20

    await eventually(picture, 30, "the picture comes")
    assert await position_s() > CLIP_S - 0.5
    await page.get_by_text("The recording is over").wait_for(timeout=30_000)
    assert float(await position.get_attribute("max") or 0) == pytest.approx(3 * CLIP_S, abs=0.5)
    await position.fill(str(1.5 * CLIP_S))

    async def shown() -> bool:
        video = "document.querySelector('video')"
        return await page.evaluate(f"{video}.videoWidth == 640 && {video}.readyState >= 2")

    await eventually(shown, 30, "the picture there is shown")
    assert await position_s() == pytest.approx(1.5 * CLIP_S, abs=0.3), "it waits where it was put"
    await page.get_by_role("button", name="Play", exact=True).click()
    await page.get_by_text("The recording is over").wait_for(timeout=30_000)
    await page.get_by_role("button", name="10 seconds back").click()
    assert await position_s() < 0.5
    await page.get_by_role("button", name="Play", exact=True).click()

    async def moves() -> bool:
        return await position_s() > 0.3

    await eventually(moves, 30, "the sound before the picture plays again")
