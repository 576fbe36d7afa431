"""An engine elsewhere: what is sent to an API like OpenAI's, and what its answers become."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from airnode.config.sections.speech import SpeechSection
from airnode.speech import errors
from airnode.speech.audio import SAMPLE_RATE
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.engines.remote import RemoteEngine
from airnode.speech.formats import to_verbose_json
from airnode.speech.words import SpokenSegment, Transcription, Word

PCM = b"\1\0" * SAMPLE_RATE * 4
SAID = Transcription(
    "ko",
    1.0,
    4.0,
    (
        SpokenSegment("3.5원, 네.", 0.0, 2.0, (Word("3.5원,", 0.1, 1.0), Word(" 네.", 1.2, 1.8))),
        SpokenSegment("Thank you.", 2.0, 4.0, (), -1.5, 0.9),  # nobody said that
    ),
)


class TheirApi:
    """A server of somebody else that answers as OpenAI's does."""

    def __init__(self) -> None:
        self.status, self.body = 200, to_verbose_json(SAID, words=True)
        self.requests: list[tuple[str, dict[str, Any], str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        fields = {name: form.getall(name) for name in form if name != "file"}
        file = form["file"]
        assert isinstance(file, web.FileField)
        assert file.file.read()[:4] == b"RIFF"
        self.requests.append((request.path, fields, request.headers.get("Authorization", "")))
        return web.Response(status=self.status, text=self.body, content_type="application/json")


@pytest.fixture
async def their_api() -> AsyncIterator[TheirApi]:
    api = TheirApi()
    app = web.Application()
    app.router.add_post("/v1/audio/{action}", api.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield api
    await runner.cleanup()


@pytest.fixture
async def engine(their_api: TheirApi) -> AsyncIterator[RemoteEngine]:
    section = SpeechSection(
        engine="remote", remote_url=f"{their_api.url}/", openai_api_key=SecretStr("sk-key"), prompt="원화"
    )
    engine = RemoteEngine(section)
    yield engine
    await engine.stop()


async def test_the_answer_becomes_a_transcription_without_what_nobody_said(
    engine: RemoteEngine, their_api: TheirApi, tmp_path: Path
):
    pcm = tmp_path / "samples"
    pcm.write_bytes(PCM)
    seen: list[SpokenSegment] = []
    found = await engine.transcribe(pcm, EngineOptions(), seen.append)
    assert (found.language, found.text, found.duration_s) == ("ko", "3.5원, 네.", 4.0)
    assert [word.text for word in found.segments[0].words] == ["3.5원,", " 네."]
    assert tuple(seen) == found.segments
    path, fields, credential = their_api.requests[0]
    assert (path, credential) == ("/v1/audio/transcriptions", "Bearer sk-key")
    assert fields["timestamp_granularities[]"] == ["segment", "word"]
    assert (fields["model"], fields["prompt"]) == (["whisper-1"], ["원화"])
    assert "language" not in fields


async def test_translating_has_a_path_of_its_own(engine: RemoteEngine, their_api: TheirApi):
    await engine.transcribe(PCM, EngineOptions(language="ko", task="translate"))
    assert their_api.requests[0][0] == "/v1/audio/translations"
    assert await engine.detect_language(PCM) == ("ko", 1.0)


async def test_an_api_that_gives_only_text_is_enough(engine: RemoteEngine, their_api: TheirApi):
    their_api.body = json.dumps({"text": "Hello."})
    found = await engine.transcribe(PCM, EngineOptions(language="en"))
    assert [(each.text, each.start_s, each.end_s) for each in found.segments] == [("Hello.", 0.0, 4.0)]
    their_api.body = json.dumps({"text": ""})
    assert not (await engine.transcribe(PCM, EngineOptions())).has_speech


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (401, "{}", errors.EngineFailed, r"401; check speech\.openai_api_key"),
        (500, "oops", errors.EngineFailed, "500"),
        (400, '{"error": {"message": "Invalid language"}}', errors.UnknownLanguage, "'xx'"),
        (200, "<html>", errors.EngineFailed, "something else"),
    ],
)
async def test_its_errors_are_told(
    engine: RemoteEngine, their_api: TheirApi, status: int, body: str, kind: type[Exception], text: str
):
    their_api.status, their_api.body = status, body
    with pytest.raises(kind, match=text) as caught:
        await engine.transcribe(PCM, EngineOptions(language="xx"))
    assert "sk-key" not in str(caught.value)
    assert bool(engine.trouble) is (kind is errors.EngineFailed)
    their_api.status, their_api.body = 200, to_verbose_json(SAID)
    await engine.transcribe(PCM, EngineOptions())
    assert engine.trouble == ""


async def test_nobody_there_is_an_engine_that_failed():
    engine = RemoteEngine(SpeechSection(engine="remote", remote_url="http://127.0.0.1:9/v1"))
    with pytest.raises(errors.EngineFailed, match="does not answer"):
        await asyncio.wait_for(engine.transcribe(PCM, EngineOptions()), 30)
    await engine.stop()
