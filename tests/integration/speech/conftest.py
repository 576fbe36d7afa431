"""One local engine for all tests that do not end it, and one directory of models."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from airnode.config.sections.speech import SpeechSection
from airnode.speech.engines.local import LocalEngine
from airnode.speech.models import Models


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with whisper-base and the smaller whisper-tiny.en, from their packages."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("base", "tiny.en"):
        Models(folder, may_download=False).get(name)
    return folder


@pytest.fixture(scope="session")
def section() -> SpeechSection:
    return SpeechSection(download_models=False, max_concurrent_chunks=2, idle_unload_s=600, nice=0)


@pytest.fixture(scope="session")
def small(section: SpeechSection) -> SpeechSection:
    """The same with the small model, for tests that start a process of their own."""
    return section.model_copy(update={"model": "tiny.en"})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(section: SpeechSection, models_dir: Path) -> AsyncIterator[LocalEngine]:
    """whisper-base, two pieces at once. It belongs to the loop of the session."""
    engine = LocalEngine(section, models_dir, CollectorRegistry())
    yield engine
    await engine.stop()
