"""Turns of users, progress and learned speed in a real Valkey; keys in a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.errors import Conflict, NotFound
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.service.fairness import MAX_PRIORITY, Turns
from airnode.speech.service.progress import FoundLanguage, PieceProgress, ProgressBoard, TranscriptChanges
from airnode.speech.service.records import TranscriptRecord, Transcripts, TranscriptState
from airnode.speech.service.speed import SpeedBook
from airnode.speech.words import SpeechGap, SpokenSegment, Transcription, Word
from airnode.store.api_keys import ApiKeys
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres


@pytest.fixture
async def bus(valkey_url: str) -> AsyncIterator[Bus]:
    made = Bus(RedisSection(url=valkey_url), BusMetrics(CollectorRegistry()))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Postgres]:
    made = Postgres(PostgresSection(), url=postgres_url)
    await made.start()
    await migrate(made)
    yield made
    await made.stop()


async def test_thirty_files_of_one_user_do_not_hold_up_the_file_of_another(bus: Bus):
    turns, queue = Turns(bus), "short-files"
    many = [await turns.take(queue, "a", 2) for _ in range(30)]
    assert [priority for file in many for priority in file] == list(range(1, 61))
    await turns.begin(queue, 3)
    (other,) = await turns.take(queue, "b", 1)
    assert other == 4  # beside the next piece of the first user, not behind the last
    # One who sends file after file shares with the one who has many: both get every second turn.
    waiting, mine, order = list(range(4, 61)), other, []
    for _ in range(10):
        if mine <= waiting[0]:
            order.append("b")
            await turns.begin(queue, mine)
            (mine,) = await turns.take(queue, "b", 1)
        else:
            order.append("a")
            await turns.begin(queue, waiting.pop(0))
    assert 4 <= order.count("a") <= 6, order
    assert await turns.take(queue, "c", 1, is_empty=True) == [1]
    await turns.begin(queue, MAX_PRIORITY)
    assert (await turns.take(queue, "c", 3))[-1] <= MAX_PRIORITY


async def test_the_speed_is_learned_and_forgets(bus: Bus):
    book = SpeedBook(bus)
    first = (await book.read()).work_per_audio
    await book.add(100, 50)
    assert (await book.read()).work_per_audio == pytest.approx(0.5)
    assert first != 0.5
    for _ in range(100):
        await book.add(100, 5)
    assert (await book.read()).work_per_audio == pytest.approx(0.05, rel=0.1)


async def test_progress_is_read_and_announced(bus: Bus):
    board, changes = ProgressBoard(bus), TranscriptChanges(bus)
    await changes.start()
    with changes.waiting("t1") as changed, changes.waiting("t2") as other:
        await board.write("t1", 3, PieceProgress("active", 0.5, "안녕"))
        async with asyncio.timeout(5):
            await changed.wait()
        assert not other.is_set()
    assert await board.read("t1") == {3: PieceProgress("active", 0.5, "안녕")}
    assert await board.language("t1") is None
    ours, theirs = FoundLanguage("ko", 0.9), FoundLanguage("en", 0.8)
    assert [await board.settle_language("t1", each) for each in (ours, theirs)] == [ours, ours]
    await board.forget("t1")
    assert (await board.read("t1"), await board.language("t1")) == ({}, None)


def record(number: int, owner: str = "teacher:kim") -> TranscriptRecord:
    return TranscriptRecord(
        transcript_id=f"t{number:024x}",
        owner=owner,
        node_id="n1",
        file_name="수업.m4a",
        size_bytes=10,
        duration_s=60.0,
        options=EngineOptions(language="ko", prompt="함수"),
        queue="short-files",
    )


async def test_a_result_is_stored_once(postgres: Postgres):
    table = Transcripts(postgres)
    for number in range(3):
        await table.insert(record(number))
    first, second, third = [record(number).transcript_id for number in range(3)]
    assert await table.cut(first, 2, 61.5)
    word = Word(" 안녕\x00", 0.1, 0.5, 0.9)
    segment = SpokenSegment("안녕\x00", 0.1, 0.5, (word,), -0.2, 0.01, 1.1, 0.0)
    result = Transcription("ko", 0.99, 61.5, (segment,), (SpeechGap(30.0, 61.5, "it failed"),))
    stored = await asyncio.gather(*(table.complete(first, result, 1) for _ in range(3)))
    assert sorted(stored) == [False, False, True]
    found = await table.get(first)
    assert found is not None
    assert (found.state, found.failed_pieces, found.options.prompt) == (TranscriptState.COMPLETED, 1, "함수")
    read = await table.transcription(found)
    assert (read.text, read.segments[0].words[0].text, read.gaps[0].end_s) == ("안녕", " 안녕", 61.5)
    assert read.segments[0].log_probability == -0.2
    assert await table.end(second, TranscriptState.CANCELLED)
    assert not await table.end(second, TranscriptState.FAILED, "x")
    assert not await table.complete(second, result, 0)
    assert not await table.cut(second, 1, 1.0)
    assert [each.transcript_id for each in await table.open_of_node("n1")] == [third]
    assert await table.existing([first, second, third, "t9"]) == {third}
    assert await table.audio_before_s(None) == 60
    assert (await table.open_count("teacher:kim"), await table.open_count("x")) == (1, 0)
    assert len(await table.newest(None, 10)) == 3
    assert await table.newest("key:x", 10) == []
    await table.delete(first)
    assert await table.get(first) is None


async def test_keys_are_hashed_limited_and_revoked(postgres: Postgres):
    keys = ApiKeys(postgres)
    made, text = await keys.make("portal", daily_minutes=2)
    stored = await postgres.fetch("SELECT * FROM api_keys")
    assert text not in repr(stored)
    found = await keys.find(text)
    assert found is not None
    assert (found.key_id, found.name, found.daily_minutes) == (made.key_id, "portal", 2)
    assert await keys.find(text) == await keys.find(text)
    for other in ("", "air_", text[:-1], text + "x", "air_" + "A" * 43, "\udcff", "x" * 10_000):
        assert await keys.find(other) is None
    with pytest.raises(Conflict):
        await keys.make("portal")
    charged = await asyncio.gather(*(keys.charge(made.key_id, 50, 120) for _ in range(5)))
    assert sorted(charged) == [False, False, False, True, True]
    assert not await keys.charge(made.key_id, 1000, 120)
    await keys.refund(made.key_id, 50)
    assert await keys.used_seconds(made.key_id) == 50
    await keys.revoke("portal")
    assert await keys.find(text) is None
    with pytest.raises(NotFound):
        await keys.revoke("portal")
    assert [each.revoked_at is not None for each in await keys.all()] == [True]
