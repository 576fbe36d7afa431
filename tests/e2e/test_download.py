"""A recording's download in Chromium, where the stream changed during the class."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from airnode.config.sections.hls import HlsSection
from airnode.media.recording.index import BeginEntry, InitEntry, SegmentEntry, SegmentIndex
from airnode.media.recording.progressive import build_progressive
from tests.support.browser import chromium
from tests.support.flvfile import read_events
from tests.support.publisher import Recorder
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chromium, pytest.mark.ffmpeg, pytest.mark.timeout(120)]

CLIP_S = 2
_PICTURE = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30")
#: {name: what ffmpeg makes}.
CLIPS = {
    "wide": ("640x360", True),
    "tall": ("360x640", True),
    "large": ("1280x720", True),
    "mute": ("640x360", False),
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with each clip as ``<name>.flv``."""
    directory = tmp_path_factory.mktemp("downloads")
    for name, (size, sounds) in CLIPS.items():
        tone = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000") if sounds else ()
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30", *tone]
        command += ["-t", str(CLIP_S), *_PICTURE, *(("-c:a", "aac") if sounds else ()), str(directory / f"{name}.flv")]
        subprocess.run(command, check=True)
    return directory


def download(clips: Path, names: tuple[str, ...]) -> bytes:
    """Return the file of a class whose publisher came anew with each of these clips."""
    recorder = Recorder(HlsSection(segment_count=100))
    start_s = recorder.start_unix_s
    for number, name in enumerate(names):
        if number:
            recorder.packager.restart()
        for _, events in read_events(clips / f"{name}.flv", start_s):
            recorder.packager.push(events)
            recorder.look()
        start_s += CLIP_S + 1
    recorder.finish()
    index, media, init = SegmentIndex(BeginEntry(1, "20261130T100000Z-5f0c2a91", "stream", "node", 1.7e9, 2)), b"", ""
    for msn, body in sorted(recorder.bodies.items()):
        if recorder.maps[msn] != init:
            init = recorder.maps[msn]
            index.append(InitEntry(len(media), len(recorder.inits[init])))
            media += recorder.inits[init]
        index.append(SegmentEntry(len(media), len(body), 1.0, 0.0, False))
        media += body
    made = build_progressive(index, lambda at, size: media[at : at + size])
    return made.head + media[made.offset_bytes : made.offset_bytes + made.size_bytes]


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
