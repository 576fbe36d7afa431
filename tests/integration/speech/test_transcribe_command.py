"""``airnode transcribe`` as a process: files, bad files, and a directory that is watched."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.speech import SENTENCE, mistakes, sentence, words_of, written_wav
from tests.support.waiting import eventually

COMMAND = [sys.executable, "-m", "airnode", "transcribe"]


def environment(models_dir: Path) -> dict[str, str]:
    return {**os.environ, "WHISPER_CACHE_DIR": str(models_dir), "AIRNODE_SPEECH__MODEL": "tiny.en"}


def test_files_are_written_beside_and_a_bad_one_holds_up_no_other(tmp_path: Path, models_dir: Path):
    recordings = tmp_path / "강의"
    recordings.mkdir()
    shutil.copy(sentence(), recordings / "lecture.wav")
    (recordings / "notes.mp3").write_text("not a recording")
    written_wav(recordings / "quiet.wav", b"\0\0" * 16_000)
    (recordings / "quiet.srt").write_text("mine")
    names = [str(recordings / name) for name in ("notes.mp3", "lecture.wav", "quiet.wav", "missing.wav")]
    command = [*COMMAND, *names, "--json", "--format", "srt", "--language", "en"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(models_dir), timeout=60)
    reports = {Path(each["file"]).name: each for each in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert {name: report.get("error") for name, report in reports.items()} == {
        "notes.mp3": "unreadable_media",
        "lecture.wav": None,
        "quiet.wav": "result_exists",
        "missing.wav": "os_error",
    }
    assert reports["lecture.wav"]["language"] == "en"
    body = (recordings / "lecture.srt").read_text().split("\n", 2)
    assert body[1].startswith("00:00:0")
    heard = [word for word in words_of(body[2]) if not word.isdigit()]
    assert mistakes(words_of(SENTENCE), heard) <= 4  # the number and the times of a second cue
    assert (recordings / "quiet.srt").read_text() == "mine"
    assert len(list(recordings.iterdir())) == 5


async def test_a_directory_is_watched(tmp_path: Path, models_dir: Path):
    written_wav(tmp_path / "before.wav", b"\0\0" * 16_000)
    os.utime(tmp_path / "before.wav", (1, 1))
    command = [*COMMAND, "--watch", str(tmp_path), "--format", "vtt"]
    process = subprocess.Popen(command, env=environment(models_dir), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        await eventually((tmp_path / "before.vtt").exists, 30, "the file that was there is transcribed")
        shutil.copy(tmp_path / "before.wav", tmp_path / "after.wav.part")
        (tmp_path / "after.wav.part").rename(tmp_path / "after.wav")
        os.utime(tmp_path / "after.wav", (2, 2))
        await eventually((tmp_path / "after.vtt").exists, 30, "the file that came is transcribed")
        assert (tmp_path / "after.vtt").read_text() == "WEBVTT\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0
        assert b"Traceback" not in told
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("arguments", [[], ["a.wav", "--watch", "."], ["a.wav", "--json", "-o", "-"]])
def test_what_makes_no_sense_is_said(arguments: list[str]):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "Error:" in done.stderr
