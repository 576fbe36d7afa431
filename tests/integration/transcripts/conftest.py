"""One node that transcribes, for many tests. Its pieces are short, so that short audio has several."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.support.node import AirnodeProcess
from tests.support.transcripts import TranscriptClient


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def speech_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    pytest.importorskip("faster_whisper", reason="the extra stt is not installed")
    settings = (
        "speech.piece_min_s=8",
        "speech.piece_max_s=15",
        "speech.max_duration_s=90",
        "speech.short_file_s=20",
        "speech.max_upload_bytes=4MiB",
        "speech.min_free_bytes=0",
        "speech.upload_gap_s=1",
        "speech.download_models=false",
        "speech.nice=0",
        "auth.failure_burst=500",
    )
    flags = [word for each in settings for word in ("--set", each)]
    node = AirnodeProcess(tmp_path_factory.mktemp("speech") / "data", *flags, env={"WORKER_ID": "worker-one"})
    try:
        yield await node.start()
    finally:
        await node.close()


@pytest.fixture
async def speech(speech_node: AirnodeProcess) -> AsyncIterator[TranscriptClient]:
    """A teacher."""
    async with aiohttp.ClientSession() as session:
        yield TranscriptClient(speech_node, session)
