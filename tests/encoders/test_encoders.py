"""One case of each important kind on all four outputs; ``make encoders`` runs them all and prints the table."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.encoders.cases import all_cases
from tests.encoders.outputs import run_case
from tests.encoders.table import NODE_ARGS
from tests.support.browser import chromium
from tests.support.node import AirnodeProcess

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.ffmpeg,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
]

CASES = (
    "zero_nal_every_frame",
    "nal_per_message_4_slices",
    "mute_forever",
    "announced_audio_never",
    "obs_vod_track",
    "opus_audio",
    "intra_refresh_late",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recording_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    folder: Path = tmp_path_factory.mktemp("encoders")
    node = AirnodeProcess(folder / "data", *NODE_ARGS)
    try:
        await node.start(60)
        yield node
    finally:
        await node.close()


@pytest.mark.parametrize("name", CASES)
async def test_the_picture_goes_on_in_all_four_outputs(recording_node: AirnodeProcess, name: str):
    async with chromium() as browser, aiohttp.ClientSession() as session:
        result = await run_case(recording_node, browser, session, name, all_cases()[name])
    assert not result.trouble, result.trouble


async def test_these_cases_differ_from_the_good_stream():
    cases = all_cases()
    good = cases["baseline"].make()
    assert not [name for name in CASES if cases[name].make() == good]
