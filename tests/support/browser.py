"""Chromium as a student and as a teacher."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

from tests.support.ffmpeg import read_clock
from tests.support.waiting import eventually

#: Chromium takes the last of several such lists, so Playwright's own is here too. The popups of the address bar, which
#: no test has, cost a browser a second of processor time.
_WITHOUT = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
ARGS = [
    f"--disable-features={','.join(_WITHOUT)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--mute-audio",
]
#: The camera shows a moving clock, and the microphone beeps once a second.
CAMERA_ARGS = [
    "--use-fake-device-for-media-stream=fps=30",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
]
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}


def chromium_path() -> str | None:
    """Return the path of the browser on this machine; None: there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", _MAC)
    return next((path for name in names if (path := shutil.which(name))), None)


@asynccontextmanager
async def chromium(*, autoplay: bool = True, camera: bool = False) -> AsyncIterator[Browser]:
    """Yield a headless browser.

    Args:
        autoplay: pages may play sound before a user gesture.
        camera: it has a camera, a microphone and a screen, all made up, and pages may use them.
    """
    path = chromium_path()
    assert path is not None, "Chromium is not installed; tests/system-packages installs it"
    args = [each for each in ARGS if autoplay or not each.startswith("--autoplay-policy")]
    if camera:
        args += CAMERA_ARGS
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=args)
        try:
            yield browser
        finally:
            await browser.close()


async def watch_requests(page: Page) -> list[str]:
    """Return a list that collects the addresses that the page requests."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


async def clock_on_screen(page: Page, selector: str = "video") -> int:
    """Return the frame number in a screenshot of the video element, as soon as it has a picture."""
    element = page.locator(selector).first
    await eventually(lambda: element.evaluate("e => e.videoWidth > 0"), 20, "the video has a picture")
    size = await element.evaluate("e => [e.videoWidth, e.videoHeight, e.clientWidth, e.clientHeight]")
    png = await element.screenshot()
    return read_clock(*_video_area(png, *size))


def _video_area(png: bytes, width: int, height: int, box_width: int, box_height: int) -> tuple[bytes, int, int]:
    """Return (grey pixels, width, height) of the picture without the bars around it, 640 wide."""
    scale = min(box_width / width, box_height / height)
    shown_width, shown_height = round(width * scale), round(height * scale)
    to_height = round(640 * height / width)
    gray = subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "png_pipe",
            "-i",
            "-",
            "-vf",
            f"scale={box_width}:{box_height},crop={shown_width}:{shown_height},scale=640:{to_height}",
            "-frames:v",
            "1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ],
        input=png,
        capture_output=True,
        check=True,
    ).stdout
    return gray, 640, to_height
