"""What the tests here have in common: a class that goes on, and a page that watches it from a node of their choice."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page

from tests.e2e.test_class import join, moving
from tests.e2e.test_livemp4 import takes
from tests.support.browser import DESKTOP
from tests.support.cluster import Cluster
from tests.support.encoder import Encoder
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually


async def by_id(cluster: Cluster) -> dict[str, AirnodeProcess]:
    """{node_id: its process}."""
    return {node["node_id"]: cluster.node(name) for name, node in (await cluster.listed()).items()}


async def stream_of(cluster: Cluster) -> dict[str, Any] | None:
    """The class's stream, as a master lists it."""
    _, body = await cluster.call("GET", "/cluster/streams")
    return next((each for each in body["streams"] if each["room"] == "stream"), None)


async def live_at(cluster: Cluster, node_id: str) -> bool:
    stream = await stream_of(cluster)
    return stream is not None and (stream["origin"], stream["state"]) == (node_id, "live")


async def live_elsewhere(cluster: Cluster, origin: str) -> dict[str, Any] | None:
    """The stream, once media comes to another node."""
    stream = await stream_of(cluster)
    return stream if stream is not None and stream["origin"] != origin and stream["bitrate_bps"] else None


@asynccontextmanager
async def publish_to(cluster: Cluster, name: str, clip: Path) -> AsyncIterator[Publisher]:
    """A teacher who is live on this node."""
    node_id = (await cluster.listed())[name]["node_id"]
    url = f"{cluster.node(name)['rtmp_server']}/{cluster.master['stream_key']}"
    publisher = await Publisher.of_clip(url, clip).start()
    try:
        await eventually(lambda: live_at(cluster, node_id), 30, "the class is live")
        yield publisher
    finally:
        await publisher.kill()


@asynccontextmanager
async def publishing(cluster: Cluster, clip: Path) -> AsyncIterator[Encoder]:
    """A teacher whose encoder asks where to go; live when it is handed over."""
    encoder = await Encoder(cluster, clip).start()

    async def live() -> bool:
        return bool(encoder.tries) and await live_at(cluster, encoder.tries[-1][1])

    try:
        await eventually(live, 30, "the class is live")
        yield encoder
    finally:
        await encoder.close()


async def watch(browser: Browser, cluster: Cluster, but: str, path: str) -> tuple[Page, list[str]]:
    """A page that plays from any node but this one, and the media addresses that it asks for, as it does."""
    _, body = await cluster.call("GET", "/cluster/nodes")
    (avoided,) = (node["node_id"] for node in body["nodes"] if node["node_name"] == but)
    assert (await cluster.call("POST", f"/cluster/nodes/{avoided}/drain"))[0] == 200
    await cluster.until(but, "draining")
    page = await browser.new_page(viewport=DESKTOP, locale="en-US")
    asked: list[str] = []
    page.on("response", lambda answer: asked.append(answer.url) if "/v/" in answer.url and answer.ok else None)
    await join(page, cluster.master, path)
    await eventually(lambda: takes(page, path), 60, "the page plays")
    await moving(page)
    await cluster.call("POST", f"/cluster/nodes/{avoided}/undrain")
    return page, asked


async def node_of(asked: list[str], cluster: Cluster) -> str:
    """The name of the node that answered last."""
    port = urlsplit(asked[-1]).port
    return next(name for name, node in (await cluster.listed()).items() if node["media_port"] == port)


async def playing(page: Page, asked: list[str], cluster: Cluster, *, away_from: str) -> float:
    """Wait until the page's video moves on with media of another node; when it did (monotonic seconds)."""
    gone = urlsplit(cluster.node(away_from)["media_url"]).port

    async def moves() -> bool:
        return urlsplit(asked[-1]).port != gone and await advances(page)

    try:
        await eventually(moves, 30, "the page plays from another node")
    except AssertionError as error:
        raise AssertionError(f"{error}: {await _told(page)}, asked {asked[-5:]}") from None
    at_s = time.monotonic()
    await moving(page)
    return at_s


async def advances(page: Page) -> bool:
    """Whether ``video.currentTime`` moves on by itself, within a quarter of a second."""
    script = """async () => {
        const video = document.querySelector('video');
        const before = video.currentTime;
        await new Promise((resolve) => setTimeout(resolve, 250));
        return window.airnode.state === 'live' && video.currentTime - before > 0.1 && video.currentTime - before < 1;
    }"""
    return bool(await page.evaluate(script))


async def _told(page: Page) -> str:
    """What the page knows of itself."""
    script = """() => {
        const { state, path, aheadS, stalls } = window.airnode;
        const { currentTime, paused, readyState } = document.querySelector('video');
        return JSON.stringify({ state, path, aheadS, stalls, currentTime, paused, readyState });
    }"""
    return str(await page.evaluate(script))
