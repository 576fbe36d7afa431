"""From an upload to the transcript, over the API as the first clients know it."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest

from tests.support.node import AirnodeProcess
from tests.support.speech import letters_of, mistakes, recording, words_of, written_wav
from tests.support.transcripts import TranscriptClient
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

JFK = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


async def test_english_and_korean_become_text_with_times(speech: TranscriptClient):
    said = recording("ko-33s.txt").read_text("utf-8-sig").partition("\t")[2]
    english, korean = await asyncio.gather(
        speech.taken(recording("jfk.flac"), async_="true"),
        speech.taken(recording("ko-33s.wav"), language="ko", async_="true"),
    )
    found = await speech.until(english)
    assert found["status"] == "completed", found
    assert mistakes(words_of(JFK), words_of(found["text"])) <= 2, found["text"]
    assert (found["language"], found["failedChunks"], found["progress"]) == ("en", 0, 100)
    assert found["completedChunks"] == found["totalChunks"] >= 1
    assert found["duration"] == pytest.approx(11.0, abs=0.1)
    found = await speech.until(korean, within_s=90)
    assert found["totalChunks"] >= 3
    heard = letters_of(found["text"])
    assert mistakes(letters_of(said), heard) / len(letters_of(said)) < 0.15, found["text"]
    words = [word for segment in found["segments"] for word in segment["words"]]
    times = [word["start"] for word in words]
    assert times == sorted(times)
    assert 25 < times[-1] < 34
    await _files_are_there(speech, korean, found["links"])


async def _files_are_there(speech: TranscriptClient, job_id: str, links: dict[str, str]):
    assert links["srt"] == f"/api/transcripts/{job_id}.srt"
    status, kind, text = await speech.text(links["srt"])
    assert (status, kind) == (200, "application/x-subrip")
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n", text)
    status, kind, text = await speech.text(links["vtt"])
    assert (status, kind, text[:6]) == (200, "text/vtt", "WEBVTT")
    status, kind, text = await speech.text(links["json"])
    document = json.loads(text)
    assert (kind, document["language"]) == ("application/json", "ko")
    assert document["segments"][0]["words"][0]["start_s"] >= 0
    status, kind, text = await speech.text(links["txt"])
    assert (status, kind) == (200, "text/plain")
    assert await speech.text(f"/api/transcripts/{job_id}.exe") == (404, "application/problem+json", _)


class _Anything:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


_ = _Anything()


async def test_the_answer_can_wait_for_the_transcript(speech: TranscriptClient):
    status, body = await speech.upload(recording("jfk.flac"), "/upload", language="en", async_="false")
    assert (status, body["status"]) == (200, "completed"), body
    assert "country" in body["text"]


async def test_five_curls_at_once(speech: TranscriptClient, tmp_path: Path):
    """As clients of the first API call it."""

    async def curl() -> dict[str, object]:
        command = (
            "curl",
            "-sS",
            "-H",
            f"Authorization: Bearer {speech.token}",
            "-F",
            f"audio=@{recording('jfk.flac')}",
        )
        command += ("-F", "language=ko", "-F", "async=true", f"{speech.node['api_url']}/api/transcribe")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        assert process.returncode == 0
        return json.loads(out)

    answers = await asyncio.gather(*(curl() for _ in range(5)))
    assert {each["success"] for each in answers} == {True}
    assert len({each["jobId"] for each in answers}) == 5
    assert all(each["estimatedTime"] > 0 and each["message"] for each in answers)
    for each in answers:
        found = await speech.until(str(each["jobId"]), within_s=120)
        assert (found["status"], found["failedChunks"]) == ("completed", 0), found


async def test_silence_is_no_speech_and_never_invented_text(speech: TranscriptClient, tmp_path: Path):
    path = written_wav(tmp_path / "silence.wav", bytes(2 * 16_000 * 20))
    status, body = await speech.upload(path, async_="false", headers={"Accept-Language": "ko"})
    assert (status, body["text"], body["segments"]) == (200, "", []), body
    assert body["message"] == "오디오에서 말소리를 찾지 못했어요."


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "empty_media"),
        (b"This is a text, although it is called mp3.\n" * 100, 415, "unreadable_media"),
    ],
)
async def test_what_is_no_audio_is_refused(speech: TranscriptClient, data: bytes, status: int, code: str):
    found, body = await speech.upload(data, name="a.mp3", headers={"Accept-Language": "ko-KR, en;q=0.5"})
    assert (found, body["code"]) == (status, code), body
    assert re.search("[가-힣]", body["error"])
    assert re.search("[가-힣]", body["message"])
    await _nothing_is_left(speech.node)


async def test_too_long_is_refused_with_the_promised_fields(speech: TranscriptClient, tmp_path: Path):
    path = written_wav(tmp_path / "long.wav", bytes(2 * 16_000 * 96))
    found, body = await speech.upload(path, language="ko", async_="true")
    assert found == 413, body
    promised = {name: body[name] for name in ("duration", "maxDuration", "premiumRequired")}
    assert promised == {"duration": 1.6, "maxDuration": 1.5, "premiumRequired": True}
    assert body["error"] == "The audio is too long"
    assert "1.6 minutes" in body["message"]
    await _nothing_is_left(speech.node)


async def test_too_large_is_refused(speech: TranscriptClient):
    found, body = await speech.upload(bytes(6 << 20))
    assert (found, body["code"]) == (413, "upload_too_large"), body
    await _nothing_is_left(speech.node)


async def test_bad_forms_are_refused(speech: TranscriptClient):
    jfk = recording("jfk.flac")
    for fields, code in (
        ({"language": "klingon"}, "unknown_language"),
        ({"language": "xx"}, "unknown_language"),
        ({"async_": "perhaps"}, "invalid_input"),
        ({"temperature": "7"}, "invalid_input"),
        ({"prompt": "x" * 2000}, "invalid_input"),
        ({"prompt": "x" * 20_000}, "upload_broken"),
    ):
        status, body = await speech.upload(jfk, **fields)
        assert (status, body["code"]) == (400, code), body
        assert body["error"]
    for body in ({"data": b"audio"}, {"json": {"audio": "x"}}, {"data": {"audio": "no file"}}, {}):
        status, answer = await speech.call("POST", "/api/transcribe", **body)
        assert (status, answer["code"]) == (400, "upload_broken"), answer
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    for data in (b"--x\r\n", b"nothing", b"--x\r\nContent-Disposition: form-data; name=audio\r\n\r\nabc"):
        status, answer = await speech.call("POST", "/api/transcribe", data=data, headers=broken)
        assert status == 400, (data, answer)
    await _nothing_is_left(speech.node)


async def test_a_client_that_stalls_is_refused_and_leaves_nothing(speech: TranscriptClient):
    async def body():
        yield b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n' + bytes(100_000)
        await asyncio.sleep(60)

    status, answer = await speech.call(
        "POST", "/api/transcribe", data=body(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert (status, answer["code"]) == (400, "upload_broken"), answer
    await _nothing_is_left(speech.node)


async def test_strangers_get_nothing(speech: TranscriptClient):
    for token in ("", "wrong", "air_" + "A" * 43):
        stranger = TranscriptClient(speech.node, speech.session, token)
        for method, path in (
            ("GET", "/api/status/t" + "0" * 24),
            ("GET", "/status/x"),
            ("GET", "/api/transcripts"),
            ("GET", "/api/queue-status"),
            ("DELETE", "/api/jobs/t" + "0" * 24),
        ):
            status, body = await stranger.call(method, path)
            assert (status, body["code"]) == (401, "unauthenticated"), (token, path, body)
        status, body = await stranger.upload(b"abc")
        assert status == 401, body
    status, _ = await TranscriptClient(speech.node, speech.session, "").call("GET", "/speech/audio/t" + "0" * 24)
    assert status in (401, 403)


async def test_unknown_jobs(speech: TranscriptClient):
    for job_id in ("t" + "0" * 24, "x", "1", "a%2Fb"):
        for method, path in (
            ("GET", f"/api/status/{job_id}"),
            ("GET", f"/status/{job_id}"),
            ("DELETE", f"/api/jobs/{job_id}"),
        ):
            status, body = await speech.call(method, path)
            assert (status, body["code"]) == (404, "not_found"), body
            assert body["error"] == "Not found"


async def test_a_transcript_is_followed_and_cancelled(speech: TranscriptClient, tmp_path: Path):
    job_id = await speech.taken(recording("ko-33s.wav"), async_="true")
    url, seen = f"{speech.node['api_url']}/api/status/{job_id}/events", []
    async with speech.session.get(url, headers={"Authorization": f"Bearer {speech.token}"}) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        cancelled = False
        async for line in response.content:
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:]))
                if seen[-1]["totalChunks"] and not cancelled:
                    status, body = await speech.call("DELETE", f"/api/jobs/{job_id}")
                    assert (status, body["success"], body["status"]) == (200, True, "cancelled"), body
                    cancelled = True
    assert seen[-1]["status"] == "cancelled"
    assert "text" not in seen[-1]
    status, body = await speech.call("DELETE", f"/api/jobs/{job_id}")
    assert (status, body["success"]) == (200, False)
    await _nothing_is_left(speech.node)


async def test_queues_workers_and_health(speech: TranscriptClient):
    status, body = await speech.call("GET", "/api/queue-status")
    assert status == 200
    workers = {queue["name"]: queue["workers"] for queue in body["queues"]}
    assert workers == {"long-files": 1, "short-files": 1, "speech-splits": 1}
    (worker,) = body["workers"]
    assert (worker["name"], set(worker["queues"])) == ("worker-one", {"long-files", "short-files"})
    assert worker["slots"] >= 1
    status, body = await TranscriptClient(speech.node, speech.session, "").call("GET", "/api/health")
    assert (status, body["status"], body["workers"]) == (200, "ok", 1)


async def test_diagnosis_with_a_self_test(speech: TranscriptClient):
    status, body = await speech.call("GET", "/api/diagnose")
    assert (status, body["status"]) == (200, "ok"), body
    assert "john" in body["selfTest"]["text"].lower()
    assert body["libraries"]["faster-whisper"]
    assert body["freeMemory"] > 0
    (worker,) = body["workers"]
    assert (worker["name"], worker["engine"], worker["model"]) == ("worker-one", "local", "base")


async def _nothing_is_left(node: AirnodeProcess):
    """The directory of uploads has no file, once what still runs has ended."""
    uploads = node.data_dir / "uploads"
    await eventually(lambda: not [each for each in uploads.rglob("*") if each.is_file()], 15, "no upload is left")


async def test_programs_with_an_api_key(speech: TranscriptClient, speech_node: AirnodeProcess):
    async def keys(*words: str) -> tuple[int, str]:
        import sys

        command = (sys.executable, "-m", "airnode", "keys", *words, "--data-dir", str(speech_node.data_dir))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    code, text = await keys("make", "portal", "--daily-minutes", "0.3")
    assert code == 0
    assert (await keys("make", "portal"))[0] != 0
    program = TranscriptClient(speech_node, speech.session, text.strip())
    assert re.fullmatch(r"air_[A-Za-z0-9_-]{43}", program.token)
    job_id = await program.taken(recording("jfk.flac"), async_="true")
    status, body = await program.upload(recording("jfk.flac"), async_="true")
    assert (status, body["code"], body["dailyMinutes"]) == (429, "daily_minutes_used", 0.3), body
    other = await speech.taken(recording("jfk.flac"), async_="true")
    assert (await program.call("GET", f"/api/status/{other}"))[0] == 404
    _, listed = await program.call("GET", "/api/transcripts")
    assert [each["jobId"] for each in listed["transcripts"]] == [job_id]
    assert (await speech.status(job_id))["jobId"] == job_id
    code, text = await keys("list", "--json")
    (known,) = json.loads(text)
    assert (known["name"], known["daily_minutes"], known["revoked_at"]) == ("portal", 0.3, None)
    assert known["used_at"] is not None
    assert (await keys("revoke", "portal"))[0] == 0
    status, body = await program.call("GET", "/api/transcripts")
    assert (status, body["code"]) == (401, "unauthenticated")
    await speech.until(other)
    await speech.until(job_id)


async def test_the_bytes_of_a_key_are_nowhere(speech_node: AirnodeProcess):
    assert "air_" not in speech_node.log


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as made:
        yield made
