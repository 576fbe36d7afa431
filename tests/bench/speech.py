"""Measures speech: error rates, time and memory, beside faster-whisper alone in the same run.

``python -m tests.bench.speech [--minutes 10] [--jobs 20] [--json FILE]``. Prints a table and one line of JSON; asserts
nothing. English is Debian's pocketsphinx-testdata, and Asterisk's prompts where AIRNODE_TEST_DATA has their texts
(core-sounds-en.txt); Korean and jfk.flac come from there too.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from rich.console import Console

from airnode.config.sections.speech import SpeechSection
from airnode.kernel import logging
from airnode.speech.audio import BYTES_PER_S
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.engines.local import LocalEngine
from airnode.speech.media.files import decode
from airnode.speech.media.limits import MediaLimits
from airnode.speech.models import Models
from airnode.speech.transcribing import FileTranscriber
from tests.bench.report import Figure, Report, Skipped
from tests.support.speech import LIBRIVOX, data_folder, letters_of, made, mistakes, wav_samples, words_of, written_wav

ASTERISK = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
JFK = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
PAUSE = b"\0\0" * 16_000
LIMITS = MediaLimits(7200, 2 << 30, 600)


@dataclass(frozen=True)
class Corpus:
    """Recordings as one WAV file (16 kHz, mono), and what is said in them."""

    name: str
    audio: Path
    said: str
    language: str

    def errors(self, heard: str) -> tuple[int, int]:
        """Return mistakes and how many words (Korean: letters) were said."""
        split = letters_of if self.language == "ko" else words_of
        return mistakes(split(self.said), split(heard)), len(split(self.said))

    @property
    def seconds(self) -> float:
        return self.audio.stat().st_size / BYTES_PER_S


def librivox(folder: Path) -> Corpus:
    lines = (LIBRIVOX / "transcription").read_text().splitlines() if LIBRIVOX.is_dir() else []
    if not lines:
        raise Skipped("the Debian package pocketsphinx-testdata is not installed")
    texts, parts = [], []
    for line in lines:
        found = re.fullmatch(r"<s>(.*)</s>\s*\((.+)\)", line.strip())
        assert found is not None
        texts.append(found[1])
        parts.append(wav_samples(LIBRIVOX / f"{found[2]}.wav"))
    return joined(folder, "librivox", parts, texts)


def asterisk(folder: Path) -> Corpus:
    index = data_folder() / "core-sounds-en.txt"
    if not index.is_file() or not ASTERISK.is_dir():
        raise Skipped("core-sounds-en.txt is not in AIRNODE_TEST_DATA, or asterisk-core-sounds-en-g722 not installed")
    texts, parts = [], []
    for line in index.read_text(errors="replace").splitlines():
        name, _, text = line.partition(":")
        sound = ASTERISK / f"{name.strip()}.g722"
        if sound.is_file() and len(words_of(text)) >= 9:
            texts.append(text)
            parts.append(wav_samples(made(folder / "part.wav", "-f", "g722", "-i", str(sound), "-ar", "16000")))
    return joined(folder, "asterisk", parts, texts)


def joined(folder: Path, name: str, parts: list[bytes], texts: list[str]) -> Corpus:
    audio = written_wav(folder / f"{name}.wav", PAUSE.join(parts))
    return Corpus(name, audio, " ".join(texts), "en")


async def shared(folder: Path, name: str, language: str) -> Corpus:
    path = data_folder() / name
    if not path.is_file():
        raise Skipped(f"{name} is not in AIRNODE_TEST_DATA")
    pcm = folder / f"{name}.pcm"
    await decode(path, pcm, LIMITS)
    audio = written_wav(folder / f"{path.stem}.wav", pcm.read_bytes())
    said = JFK if name.startswith("jfk") else path.with_suffix(".txt").read_text()
    return Corpus(path.stem, audio, said, language)


async def direct(audio: Path, model: Path, how: str, language: str) -> dict[str, Any]:
    """faster-whisper alone: its text, seconds, processor seconds, and peak of memory."""
    command = [sys.executable, "-m", "tests.bench.speech_direct", str(audio), str(model), how, language]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return dict(json.loads(output))


class Bench:
    """The scenarios, on one loaded engine."""

    def __init__(self, folder: Path, models: Path, report: Report) -> None:
        self._folder, self._report = folder, report
        self.model = Models(models, may_download=False).get("base")
        section = SpeechSection(download_models=False, max_concurrent_chunks=2, nice=0, max_duration_s=7200)
        self.engine = LocalEngine(section, models, CollectorRegistry())
        self._transcriber = FileTranscriber(section, self.engine, folder)

    async def quality(self) -> None:
        """Error rates of each corpus, ours beside faster-whisper on the whole file."""
        sums = {"ours": 0, "whole": 0, "batched": 0}
        for make in (librivox, asterisk, "jfk.flac", "ko-33s.wav"):
            title = make if isinstance(make, str) else make.__name__
            try:
                if isinstance(make, str):
                    corpus = await shared(self._folder, make, "ko" if make.startswith("ko") else "en")
                else:
                    corpus = make(self._folder)
            except Skipped as why:
                self._report.missing[f"quality {title}"] = str(why)
                continue
            texts = {
                how: (await direct(corpus.audio, self.model, how, corpus.language))["text"]
                for how in sums
                if how != "ours"
            }
            found = await self._transcriber.transcribe(corpus.audio, EngineOptions(language=corpus.language))
            self._compare(corpus, texts | {"ours": found.text}, sums)
        for how, wrong in sums.items():
            self._report.add("quality in all", Figure(f"wrong_{how}", f"mistakes, {how}", wrong, ""))

    def _compare(self, corpus: Corpus, texts: dict[str, str], sums: dict[str, int]) -> None:
        unit = "% CER" if corpus.language == "ko" else "% WER"
        rates = {}
        for how, text in texts.items():
            wrong, said = corpus.errors(text)
            sums[how] += wrong
            rates[how] = 100 * wrong / said
        name = f"quality {corpus.name}, {corpus.seconds:.0f} s"
        for how in ("whole", "batched"):
            self._report.add(name, Figure(f"{corpus.name}_{how}", f"faster-whisper, {how}", rates[how], unit))
        at_most = min(rates["whole"], rates["batched"]) + 0.3
        self._report.add(name, Figure(f"{corpus.name}_ours", "airnode", rates["ours"], unit, at_most))

    async def speed(self, minutes: float) -> None:
        """Time of a long file: ours with decoding, cutting and merging, beside faster-whisper alone."""
        corpus = librivox(self._folder)
        repeats = max(1, round(minutes * 60 / corpus.seconds))
        samples = (wav_samples(corpus.audio) + PAUSE) * repeats
        audio = written_wav(self._folder / "long.wav", samples)
        options = EngineOptions(language="en")
        await self.engine.transcribe(samples[: 5 * BYTES_PER_S], options)
        began_s = time.monotonic()
        await self._transcriber.transcribe(audio, options)
        ours_s = time.monotonic() - began_s
        alone = {how: await direct(audio, self.model, how, "en") for how in ("whole", "batched", "parallel")}
        name = f"speed, {len(samples) / BYTES_PER_S / 60:.1f} minutes of speech, two pieces at once"
        for how, found in alone.items():
            self._report.add(name, Figure(f"alone_{how}_s", f"faster-whisper, {how}", found["seconds"], "s"))
            self._report.add(name, Figure(f"alone_{how}_rss", "  its memory", found["rss_bytes"] / 2**20, "MiB"))
        self._report.add(
            name,
            Figure("ours_s", "airnode: decoded, cut, transcribed, merged", ours_s, "s"),
            Figure("ratio", "beside the same calls alone", ours_s / alone["parallel"]["seconds"], "x", 1.03),
            Figure("rss", "memory of the engine's process", self.engine.describe().memory_bytes / 2**20, "MiB", 700),
        )

    async def memory(self, jobs: int) -> None:
        """Memory over many pieces, two at once."""
        samples = wav_samples(librivox(self._folder).audio)
        options = EngineOptions(language="en")
        await asyncio.gather(*(self.engine.transcribe(samples, options) for _ in range(4)))
        before = self.engine.describe().memory_bytes / 2**20
        for _ in range(0, jobs, 2):
            await asyncio.gather(*(self.engine.transcribe(samples, options) for _ in range(2)))
        after = self.engine.describe().memory_bytes / 2**20
        self._report.add(
            f"memory over {jobs} pieces of 25 s",
            Figure("rss_before", "of the engine's process before", before, "MiB", 700),
            Figure("rss_after", "after", after, "MiB", 700),
            Figure("rss_growth", "growth", after - before, "MiB", 30),
        )


async def measured(minutes: float, jobs: int, only: list[str]) -> Report:
    report = Report(bench="speech")
    with tempfile.TemporaryDirectory(prefix="airnode-bench-") as name:
        folder = Path(name)
        bench = Bench(folder, folder / "models", report)
        runs = {"quality": bench.quality(), "speed": bench.speed(minutes), "memory": bench.memory(jobs)}
        try:
            for title, run in runs.items():
                if title in only or not only:
                    try:
                        await run
                    except Skipped as why:
                        report.missing[title] = str(why)
                else:
                    run.close()
        finally:
            await bench.engine.stop()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the file whose time is measured")
    parser.add_argument("--jobs", type=int, default=20, help="pieces over which memory is watched")
    parser.add_argument("--only", action="append", default=[], choices=("quality", "speed", "memory"))
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    logging.configure("warning", "console", {})
    report = asyncio.run(measured(options.minutes, options.jobs, options.only))
    report.publish(Console(stderr=True, width=120), options.json)


if __name__ == "__main__":
    main()
