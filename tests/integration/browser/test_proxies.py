"""Publishing through a real nginx, and from pages of other origins."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support.browser_publisher import BrowserPublisher, clip_messages
from tests.support.database import EmptyDatabase
from tests.support.nginx import round_robin
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]

FRIEND = "https://school.example"


@pytest.fixture
async def strict(tmp_path: Path, empty_database: EmptyDatabase) -> AsyncIterator[AirnodeProcess]:
    """A node whose media only pages of one other origin may use."""
    directory = await empty_database.lay(tmp_path / "data")
    process = AirnodeProcess(directory, "--set", f'http.allowed_origins=["{FRIEND}"]')
    try:
        yield await process.start()
    finally:
        await process.close()


def address(node: AirnodeProcess) -> str:
    return str(node["media_url"]).replace("http", "ws", 1) + "/publish"


async def test_a_browser_publishes_through_nginx(strict: AirnodeProcess, clip: Path, tmp_path: Path):
    port = urlsplit(strict["media_url"]).port
    assert port is not None
    async with round_robin(tmp_path, [port]) as base:
        url = base.replace("http", "ws", 1) + "/publish"
        # The page comes from another port of the same host.
        peer = await BrowserPublisher.connect(url, headers={"Origin": "http://127.0.0.1:8000"})
        try:
            await peer.publish(strict["stream_key"])
            await eventually(lambda: peer.answer("accepted"), what="accepted through nginx")
            peer.send_in_real_time(clip_messages(clip))
            await eventually(lambda: peer.acked["messages"] > 50, what="media arrives")
        finally:
            await peer.aclose()


async def test_pages_of_other_sites_may_not_publish(strict: AirnodeProcess):
    for origin in ("https://elsewhere.example", "null", "https://localhost.elsewhere.example", "http://["):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await BrowserPublisher.connect(address(strict), headers={"Origin": origin})
        assert refused.value.status == 403
    for origin in (FRIEND, strict["api_url"]):
        peer = await BrowserPublisher.connect(address(strict), headers={"Origin": str(origin)})
        try:
            await peer.publish(strict["stream_key"])
            await eventually(lambda peer=peer: peer.answer("accepted"), what="accepted")
            await peer.ws.send_str('{"type": "stop"}')
            await eventually(lambda peer=peer: peer.close_code, what="closed")
        finally:
            await peer.aclose()
