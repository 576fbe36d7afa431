"""One case of each important kind on all four outputs; ``make encoders`` runs them all and prints the table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.encoders.cases import all_cases
from tests.encoders.outputs import Result, run_case
from tests.encoders.table import NODE_ARGS
from tests.encoders.watching import Screens
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
#: Shorter than in the table: what these cases do, they have done by then.
SECONDS = 8.0
AT_ONCE = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recording_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    folder: Path = tmp_path_factory.mktemp("encoders")
    node = AirnodeProcess(folder / "data", *NODE_ARGS)
    try:
        await node.start(60)
        yield node
    finally:
        await node.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results(
    request: pytest.FixtureRequest, recording_node: AirnodeProcess
) -> AsyncIterator[dict[str, asyncio.Task[Result]]]:
    """The results of the chosen cases, to be awaited: two run at a time, as each mostly waits for its stream."""
    chosen = [item.callspec.params["name"] for item in request.session.items if "results" in item.fixturenames]
    async with chromium() as browser, aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        free: asyncio.Queue[Screens] = asyncio.Queue()
        for _ in range(AT_ONCE):
            free.put_nowait(await stack.enter_async_context(Screens(browser, recording_node["api_url"])))

        async def run(name: str) -> Result:
            screens = await free.get()
            try:
                case = replace(all_cases()[name], seconds=SECONDS)
                return await run_case(recording_node, screens, session, name, case)
            finally:
                free.put_nowait(screens)

        tasks = {name: asyncio.create_task(run(name)) for name in chosen}
        try:
            yield tasks
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("name", CASES)
async def test_the_picture_goes_on_in_all_four_outputs(results: dict[str, asyncio.Task[Result]], name: str):
    result = await results[name]
    assert not result.trouble, result.trouble


async def test_these_cases_differ_from_the_good_stream():
    cases = all_cases()
    good = cases["baseline"].make()
    assert not [name for name in CASES if cases[name].make() == good]
