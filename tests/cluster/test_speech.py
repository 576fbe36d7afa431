"""Transcripts on several machines: workers that join with the speech token only, and what is killed in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support.node import AirnodeProcess
from tests.support.speech import letters_of, mistakes, recording
from tests.support.transcripts import TranscriptClient
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

KEY, CLUSTER, SPEECH, TEACHER = "5ea1ed" * 8, "c0ffee" * 8, "5beec4" * 8, "a.teacher.secret"
MASTER_ENV = {
    "JWT_SECRET_KEY": KEY,
    "AIRNODE_CLUSTER__TOKEN": CLUSTER,
    "AIRNODE_CLUSTER__SPEECH_TOKEN": SPEECH,
    "AIRNODE_AUTH__TEACHER_SECRET": TEACHER,
}
SHORT_PIECES = {
    "AIRNODE_SPEECH__PIECE_MIN_S": "6",
    "AIRNODE_SPEECH__PIECE_MAX_S": "10",
    "AIRNODE_SPEECH__MIN_FREE_BYTES": "0",
    "AIRNODE_SPEECH__DOWNLOAD_MODELS": "false",
}
QUICK_JOBS = {"AIRNODE_JOBS__LOCK_S": "3", "AIRNODE_JOBS__STALLED_CHECK_S": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def master(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AirnodeProcess]:
    pytest.importorskip("faster_whisper", reason="the extra stt is not installed")
    env = MASTER_ENV | SHORT_PIECES | QUICK_JOBS
    node = AirnodeProcess(tmp_path_factory.mktemp("speech-master") / "data", role="master", env=env)
    node.endpoints["teacher_secret"] = TEACHER
    try:
        yield await node.start(60)
    finally:
        await node.close()


@pytest_asyncio.fixture(loop_scope="module")
async def client(master: AirnodeProcess) -> AsyncIterator[TranscriptClient]:
    async with aiohttp.ClientSession() as session:
        yield TranscriptClient(master, session, TEACHER)


def worker(master: AirnodeProcess, data_dir: Path, name: str, **env: str) -> AirnodeProcess:
    """An stt-worker on "another machine": it has the master's address and the speech token, and no shared disk."""
    own = {"AIRNODE_CLUSTER__SPEECH_TOKEN": SPEECH, "WORKER_ID": name, "MAX_CONCURRENT_CHUNKS": "1"}
    own |= QUICK_JOBS | {"AIRNODE_SPEECH__DOWNLOAD_MODELS": "false", "AIRNODE_SPEECH__NICE": "0"}
    return AirnodeProcess(data_dir / name, "--master-url", master["api_url"], role="stt-worker", env=own | env)


async def workers_seen(client: TranscriptClient) -> dict[str, int]:
    """{name of a worker: pieces that it works on}."""
    _, body = await client.call("GET", "/api/queue-status")
    return {each["name"]: each["active"] for each in body["workers"]}


async def test_two_workers_by_token_only_and_one_is_killed_in_mid_piece(
    master: AirnodeProcess, client: TranscriptClient, tmp_path: Path
):
    said = letters_of(recording("ko-33s.txt").read_text("utf-8-sig").partition("\t")[2])
    one, two = (worker(master, tmp_path, name) for name in ("w-one", "w-two"))
    try:
        await asyncio.gather(one.start(), two.start())
        job_id = await client.taken(recording("ko-33s.wav"), language="ko", async_="true")

        async def works() -> bool:
            return (await workers_seen(client)).get("w-one", 0) > 0

        await eventually(works, 30, "w-one has a piece")
        await one.kill()
        found = await client.until(job_id, within_s=90)
        assert (found["status"], found["failedChunks"]) == ("completed", 0), found
        assert found["totalChunks"] >= 4
        assert mistakes(said, letters_of(found["text"])) / len(said) < 0.2, found["text"]
        starts = [segment["start"] for segment in found["segments"]]
        assert starts == sorted(set(starts))
        assert await two.stop() == 0
    finally:
        await asyncio.gather(one.close(), two.close())


async def test_without_a_worker_uploads_wait_and_health_says_so(
    master: AirnodeProcess, client: TranscriptClient, tmp_path: Path
):
    async def gone() -> bool:
        return await workers_seen(client) == {}

    await eventually(gone, 30, "the workers of the test before are forgotten")
    job_id = await client.taken(recording("jfk.flac"), language="en", async_="true")
    found = await client.until(job_id, "processing", within_s=30)
    assert found["totalChunks"] >= 1

    async def degraded() -> bool:
        return (await client.call("GET", "/api/health"))[1]["status"] == "degraded"

    await eventually(degraded, 10, "/api/health says that there is no worker")
    late = worker(master, tmp_path, "w-late", QUEUE_NAME="short-files")
    try:
        await late.start()
        assert (await client.until(job_id, within_s=60))["status"] == "completed"
        # SIGTERM in mid-piece: it is given back, or done, within the deadline.
        job_id = await client.taken(recording("ko-33s.wav"), language="ko", async_="true")

        async def works() -> bool:
            return (await workers_seen(client)).get("w-late", 0) > 0

        await eventually(works, 30, "w-late has a piece")
        assert await late.stop() == 0
    finally:
        await late.close()
    again = worker(master, tmp_path, "w-again")
    try:
        await again.start()
        found = await client.until(job_id, within_s=90)
        assert (found["status"], found["failedChunks"]) == ("completed", 0), found
    finally:
        await again.close()


async def test_a_wrong_speech_token_gets_nothing(master: AirnodeProcess, tmp_path: Path):
    stranger = worker(master, tmp_path, "w-wrong", AIRNODE_CLUSTER__SPEECH_TOKEN="f00ba4" * 8)
    try:
        await stranger.launch()
        assert await stranger.wait(30) == 2
        assert "speech token" in stranger.log
    finally:
        await stranger.close()


async def test_the_speech_token_opens_job_queues_and_audio_only(master: AirnodeProcess, tmp_path: Path):
    from redis import asyncio as aioredis
    from redis.exceptions import NoPermissionError

    body = {"access": "speech", "roles": ["stt-worker"], "node_name": "b", "version": "1"}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {SPEECH}"}) as session:
        async with session.post(f"{master['api_url']}/cluster/join", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
        assert (answer["jwt_secret"], answer["postgres_url"]) == ("", "")
        for path in ("/api/queue-status", "/cluster/nodes", "/api/transcripts"):
            async with session.get(master["api_url"] + path) as response:
                assert response.status in (401, 403), path
    redis = aioredis.Redis.from_url(answer["redis_url"])
    try:
        for command in (
            ("GET", "airnode:records:{stream-keys}"),
            ("KEYS", "*"),
            ("HGETALL", "airnode:lease:{nodes}:values"),
        ):
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)
    finally:
        await redis.aclose()


async def test_an_api_that_is_killed_between_upload_and_enqueue_loses_nothing_and_leaves_nothing(tmp_path: Path):
    """Redis stands still, so the upload is taken and its job is not enqueued; then the process is killed."""
    pytest.importorskip("faster_whisper", reason="the extra stt is not installed")
    valkey = await ExternalValkey(tmp_path / "valkey").start()
    env = {"AIRNODE_AUTH__TEACHER_SECRET": TEACHER} | SHORT_PIECES
    node = AirnodeProcess(tmp_path / "data", "--redis-url", valkey.url, env=env)
    sending = asyncio.Event()

    async def half_a_file() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n' + bytes(600_000)
        await sending.wait()

    try:
        await node.start(60)
        async with aiohttp.ClientSession() as session:
            client = TranscriptClient(node, session, TEACHER)
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            half = asyncio.ensure_future(client.call("POST", "/api/transcribe", data=half_a_file(), headers=headers))
            uploads = node.data_dir / "uploads"
            await eventually(lambda: list((uploads / "incoming").glob("*")), 10, "half a file is there")
            valkey.pause()
            whole = asyncio.ensure_future(client.upload(recording("jfk.flac"), language="en", async_="true"))

            async def taken() -> list[dict]:
                return (await client.call("GET", "/api/transcripts"))[1]["transcripts"]

            (row,) = await eventually(taken, 30, "the upload has its row")
            assert row["status"] == "queued"
            await node.kill()
            await asyncio.gather(half, whole, return_exceptions=True)
        valkey.resume()
        await node.start(60)
        async with aiohttp.ClientSession() as session:
            client = TranscriptClient(node, session, TEACHER)
            assert list((uploads / "incoming").glob("*")) == []
            found = await client.until(row["jobId"], within_s=60)
            assert found["status"] == "completed", found
            assert [each["jobId"] for each in await taken_by(client)] == [row["jobId"]]
            await eventually(lambda: not [each for each in uploads.rglob("*") if each.is_file()], 15, "no file is left")
    finally:
        sending.set()
        await node.close()
        await valkey.kill()


async def taken_by(client: TranscriptClient) -> list[dict]:
    status, body = await client.call("GET", "/api/transcripts")
    assert status == 200, json.dumps(body)
    return body["transcripts"]
