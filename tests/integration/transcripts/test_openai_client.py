"""The official client of OpenAI's API, against ours."""

import asyncio

import openai
import pytest

from tests.support.node import AirnodeProcess
from tests.support.speech import letters_of, mistakes, recording, words_of

pytestmark = pytest.mark.timeout(180)

JFK = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


@pytest.fixture
async def client(speech_node: AirnodeProcess):
    async with openai.AsyncOpenAI(
        base_url=f"{speech_node['api_url']}/v1", api_key=speech_node["teacher_secret"], max_retries=0
    ) as made:
        yield made


async def test_all_formats(client: openai.AsyncOpenAI):
    path = recording("jfk.flac")

    async def said(**options):
        return await client.audio.transcriptions.create(model="whisper-1", file=path, language="en", **options)

    plain, verbose, text, srt, vtt = await asyncio.gather(
        said(),
        said(response_format="verbose_json", timestamp_granularities=["word", "segment"], prompt="A speech."),
        said(response_format="text", temperature=0),
        said(response_format="srt"),
        said(response_format="vtt"),
    )
    assert mistakes(words_of(JFK), words_of(plain.text)) <= 2
    assert verbose.duration == pytest.approx(11.0, abs=0.1)
    assert verbose.language == "english"
    assert words_of(verbose.text) == words_of(" ".join(segment.text for segment in verbose.segments))
    assert [word.start for word in verbose.words] == sorted(word.start for word in verbose.words)
    assert verbose.words[0].end > verbose.words[0].start
    assert isinstance(text, str)
    assert words_of(text) == words_of(plain.text)
    assert srt.startswith("1\n00:00:0")
    assert vtt.startswith("WEBVTT\n")


async def test_a_stream(client: openai.AsyncOpenAI):
    said = recording("ko-33s.txt").read_text("utf-8-sig").partition("\t")[2]
    stream = await client.audio.transcriptions.create(
        model="whisper-1", file=recording("ko-33s.wav"), language="ko", response_format="json", stream=True
    )
    deltas, done = [], None
    async for event in stream:
        if event.type == "transcript.text.delta":
            deltas.append(event.delta)
        else:
            assert event.type == "transcript.text.done"
            done = event.text
    assert done is not None
    assert "".join(deltas) == done
    assert len(deltas) >= 2
    assert mistakes(letters_of(said), letters_of(done)) / len(letters_of(said)) < 0.15


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # of the client's own method
async def test_a_translation(client: openai.AsyncOpenAI):
    found = await client.audio.translations.create(model="whisper-1", file=recording("ko-33s.wav"))
    assert len(words_of(found.text)) > 10
    assert sum(each.isascii() for each in found.text) > 0.9 * len(found.text), found.text


async def test_models(client: openai.AsyncOpenAI):
    names = [model.id async for model in client.models.list()]
    assert "whisper-1" in names
    assert (await client.models.retrieve("whisper-1")).id == "whisper-1"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-0")


async def test_errors_are_those_that_the_client_knows(client: openai.AsyncOpenAI, speech_node: AirnodeProcess):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b""))
    assert caught.value.code == "empty_media"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.audio.transcriptions.create(model="whisper-1", file=recording("jfk.flac"), language="xx")
    assert (caught.value.code, caught.value.param) == ("unknown_language", "language")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.audio.transcriptions.create(
            model="whisper-1", file=recording("jfk.flac"), response_format="diarized_json"
        )
    assert caught.value.param == "response_format"
    stranger = client.with_options(api_key="air_" + "0" * 43)
    with pytest.raises(openai.AuthenticationError):
        await stranger.models.list()
