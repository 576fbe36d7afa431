"""faster-whisper in its process, with whisper-base: real speech, what is no speech, and a process that ends."""

import asyncio
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from airnode.config.sections.speech import SpeechSection
from airnode.speech import errors
from airnode.speech.audio import BYTES_PER_S, SAMPLE_RATE
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.engines.local import LocalEngine
from airnode.speech.media.files import decode
from airnode.speech.media.limits import MediaLimits
from airnode.speech.transcribing import FileTranscriber
from airnode.speech.words import SpokenSegment
from tests.support.speech import (
    SENTENCE,
    letters_of,
    mistakes,
    music,
    recording,
    sentence,
    wav_samples,
    words_of,
)
from tests.support.waiting import eventually

shared = pytest.mark.asyncio(loop_scope="session")
ENGLISH = EngineOptions(language="en")
THREE_S = 3 * BYTES_PER_S
SILENCE = b"\0\0" * SAMPLE_RATE * 5


@pytest.fixture
async def own(small: SpeechSection, models_dir: Path) -> AsyncIterator[LocalEngine]:
    """An engine of the test's own, to end its process."""
    engine = LocalEngine(small, models_dir, CollectorRegistry())
    yield engine
    await engine.stop()


@shared
async def test_a_sentence_of_english_is_written_down(engine: LocalEngine):
    seen: list[SpokenSegment] = []
    found = await engine.transcribe(wav_samples(sentence()), EngineOptions(prompt="Dashwood"), seen.append)
    assert (found.language, found.has_speech) == ("en", True)
    assert mistakes(words_of(SENTENCE), words_of(found.text)) <= 1
    assert tuple(seen) == found.segments
    words = [word for segment in found.segments for word in segment.words]
    assert "".join(word.text for word in words).split() == found.text.split()
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= found.duration_s
    state = engine.describe()
    assert (state.is_loaded, state.device, state.concurrency) == (True, "cpu", 2)
    assert state.memory_bytes < 700 << 20


@shared
async def test_korean_is_recognized_as_korean(engine: LocalEngine, section: SpeechSection):
    path = recording("ko-33s.wav")
    shares: list[float] = []
    options = EngineOptions(languages=("ko", "en"))
    found = await FileTranscriber(section, engine).transcribe(path, options, shares.append)
    said = letters_of(path.with_suffix(".txt").read_text())
    assert found.language == "ko"
    assert mistakes(said, letters_of(found.text)) / len(said) < 0.1
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@shared
async def test_nothing_is_invented_where_nobody_speaks(engine: LocalEngine, tmp_path: Path):
    noise = random.Random(5)
    hiss = b"".join(noise.randint(-3000, 3000).to_bytes(2, "little", signed=True) for _ in range(SAMPLE_RATE * 10))
    await decode(music(), tmp_path / "music", MediaLimits(600, 2 << 30, 60))
    tune = (tmp_path / "music").read_bytes()[: SAMPLE_RATE * 2 * 30]
    for quiet in (SILENCE, hiss, tune, b""):
        for options in (ENGLISH, EngineOptions(language="ko"), EngineOptions()):
            found = await engine.transcribe(quiet, options)
            assert (found.text, found.segments, found.has_speech) == ("", (), False)
    assert await engine.detect_language(SILENCE) == ("", 0.0)


@shared
async def test_what_is_said_three_times_is_written_three_times(engine: LocalEngine):
    once = wav_samples(sentence())[:THREE_S] + b"\0\0" * (SAMPLE_RATE // 2)
    found = await engine.transcribe(once * 3, ENGLISH)
    assert found.text.count("Dashwood") == 3
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(found.segments))


@shared
async def test_a_language_that_does_not_exist_is_an_error_of_the_caller(engine: LocalEngine):
    with pytest.raises(errors.UnknownLanguage, match="'xx'"):
        await engine.transcribe(SILENCE, EngineOptions(language="xx"))
    assert (await engine.transcribe(SILENCE, ENGLISH)).segments == ()
    assert engine.trouble == ""


@shared
async def test_samples_may_be_a_file_and_cancelled_work_leaves_the_engine_free(engine: LocalEngine, tmp_path: Path):
    pcm = tmp_path / "samples"
    pcm.write_bytes(wav_samples(sentence())[:THREE_S])
    works = [asyncio.ensure_future(engine.transcribe(pcm.read_bytes(), ENGLISH)) for _ in range(6)]
    await asyncio.sleep(0)
    for work in works:
        work.cancel()
    assert {type(each) for each in await asyncio.gather(*works, return_exceptions=True)} == {asyncio.CancelledError}
    assert "John Dashwood" in (await engine.transcribe(pcm, ENGLISH)).text


async def test_work_of_a_killed_process_is_done_in_a_new_one(own: LocalEngine):
    pcm = wav_samples(sentence())[:THREE_S]
    first = await own.transcribe(pcm, ENGLISH)
    process = own._process
    assert process is not None
    works = [asyncio.ensure_future(own.transcribe(pcm, ENGLISH)) for _ in range(2)]
    await eventually(lambda: len(process._waiting) == 2, 10, "the work is in the process")
    os.kill(process.pid, signal.SIGKILL)
    assert [each.text for each in await asyncio.gather(*works)] == [first.text] * 2
    assert own._process is not None
    assert own._process.pid != process.pid
    assert own.trouble == ""


async def test_a_process_without_work_is_ended(small: SpeechSection, models_dir: Path):
    idle = small.model_copy(update={"idle_unload_s": 0.2})
    engine = LocalEngine(idle, models_dir, CollectorRegistry())
    try:
        assert not engine.describe().is_loaded
        await engine.transcribe(SILENCE, ENGLISH)
        process = engine._process
        assert process is not None
        await eventually(lambda: not engine.describe().is_loaded, 10, "the model is unloaded")
        await eventually(lambda: process._child.returncode is not None, 10, "the process has ended")
    finally:
        await engine.stop()


async def test_work_that_takes_too_long_fails_and_the_process_is_ended(small: SpeechSection, models_dir: Path):
    engine = LocalEngine(small.model_copy(update={"piece_timeout_s": 0.05}), models_dir, CollectorRegistry())
    try:
        with pytest.raises(errors.EngineFailed, match=r"speech\.piece_timeout_s"):
            await engine.transcribe(wav_samples(sentence()) * 20, ENGLISH)
        assert "piece_timeout_s" in engine.trouble
        assert not engine.describe().is_loaded
    finally:
        await engine.stop()


async def test_a_model_that_is_nowhere_is_said_with_what_to_do(section: SpeechSection, tmp_path: Path):
    engine = LocalEngine(section.model_copy(update={"model": "small"}), tmp_path, CollectorRegistry())
    try:
        with pytest.raises(errors.ModelMissing, match=r"speech\.download_models is off: put one into"):
            await engine.transcribe(SILENCE, ENGLISH)
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "model.bin").write_bytes(b"nothing")
        (broken / "config.json").write_text("{}")
        engine = LocalEngine(section.model_copy(update={"model": str(broken)}), tmp_path, CollectorRegistry())
        with pytest.raises(errors.ModelMissing, match="cannot be loaded"):
            await engine.transcribe(SILENCE, ENGLISH)
    finally:
        await engine.stop()
