"""What all tests share: real servers, and a check for what they need."""

import asyncio
import asyncio.runners
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import hypothesis
import pytest
import pytest_asyncio
from xdist.remote import Producer

from airnode.kernel.tasks import ended
from tests.support.browser import chromium_path
from tests.support.database import EmptyDatabase, empty_database
from tests.support.eventlog import logs
from tests.support.ffmpeg import make_clip
from tests.support.forking import forker
from tests.support.kafka import kafka
from tests.support.kafka_secured import connections_closed, log_backend, secured_kafka
from tests.support.nginx import nginx_path
from tests.support.node import AirnodeProcess, Api, Classroom
from tests.support.scheduling import FileScheduling
from tests.support.servers import postgres_url, servers, valkey_url

__all__ = [
    "connections_closed",
    "empty_database",
    "forker",
    "kafka",
    "log_backend",
    "logs",
    "postgres_url",
    "secured_kafka",
    "servers",
    "valkey_url",
]

ROOT = Path(__file__).parents[1]
_BROKERS = {"kafka", "logs", "secured_kafka", "log_backend"}
_NEEDS = {
    "ffmpeg": lambda: shutil.which("ffmpeg"),
    "gstreamer": lambda: shutil.which("gst-launch-1.0"),
    "chromium": chromium_path,
    "nginx": nginx_path,
    "official_client": lambda: (ROOT / "airnode/ui/node_modules/socket.io-client").exists(),
    "faketime": lambda: shutil.which("faketime"),
}


def end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """End what a failed test left on its loop.

    asyncio cancels each task once and waits for ever for one whose library swallowed that, which redis-py may do.
    """
    if tasks := asyncio.all_tasks(loop):
        loop.run_until_complete(ended(*tasks))


asyncio.runners._cancel_all_tasks = end_tasks

hypothesis.settings.register_profile("airnode", deadline=None)
hypothesis.settings.load_profile("airnode")


def pytest_configure(config: pytest.Config) -> None:
    for name in _NEEDS:
        config.addinivalue_line("markers", f"{name}: needs {name} on this machine")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests on brokers in a file without a group: brokers would start in every process."""
    for item in items:
        if _BROKERS & set(getattr(item, "fixturenames", ())) and item.get_closest_marker("xdist_group") is None:
            raise pytest.UsageError(
                f"{item.location[0]} needs pytest.mark.xdist_group, as others with its brokers have"
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, find in _NEEDS.items():
        if item.get_closest_marker(name) is not None and not find():
            reason = f"{name} is not installed; tests/system-packages installs it"
            if os.environ.get("CI"):
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety seconds of the test pattern with its clock, one key frame a second."""
    return make_clip(tmp_path_factory.mktemp("clips") / "clock.flv")


@pytest.fixture
async def node(tmp_path: Path, empty_database: EmptyDatabase) -> AsyncIterator[AirnodeProcess]:
    """A standalone airnode that is ready, of the test's own: to stop it, or to see what it begins with."""
    process = AirnodeProcess(await empty_database.lay(tmp_path / "data"))
    try:
        yield await process.start()
    finally:
        await process.close()


@pytest.fixture
async def api(node: AirnodeProcess) -> AsyncIterator[Api]:
    """Its API."""
    async with aiohttp.ClientSession() as session:
        yield Api(node, session)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    """A standalone airnode as it is without any configuration, for all tests that take a class of it."""
    process = AirnodeProcess(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield await process.start()
    finally:
        await process.close()


@pytest.fixture
async def class_api(shared_node: AirnodeProcess) -> AsyncIterator[Api]:
    """The API of a class of the test's own."""
    async with aiohttp.ClientSession() as session:
        yield Api(await Classroom.open(shared_node, session), session)


@pytest.fixture
async def classroom(class_api: Api) -> Classroom:
    """A class of the test's own."""
    assert isinstance(class_api.node, Classroom)
    return class_api.node
