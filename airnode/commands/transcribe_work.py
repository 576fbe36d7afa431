"""The work of ``airnode transcribe``."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import msgspec
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from airnode.config.loading import Loaded
from airnode.errors import AirnodeError
from airnode.kernel import logging
from airnode.speech.engines.choice import engine_for
from airnode.speech.engines.engine import EngineOptions
from airnode.speech.errors import ModelMissing, SpeechMissing
from airnode.speech.formats import FORMATS
from airnode.speech.transcribing import FileTranscriber, OnProgress
from airnode.speech.words import Transcription

#: A watched file is complete once it has not changed for so long.
_QUIET_S: Final = 2.0
_POLL_S: Final = 0.5
#: Names that downloads and uploads have until they are complete.
_UNFINISHED: Final = (".part", ".crdownload", ".tmp", ".partial")


@dataclass(frozen=True, slots=True)
class WantedText:
    """What to write, and where: ``output`` is a directory, ``-`` for the terminal, None for beside the file."""

    language: str
    formats: tuple[str, ...]
    output: str | None
    prompt: str
    translate: bool
    overwrite: bool
    as_json: bool

    @property
    def options(self) -> EngineOptions:
        """Return the engine's options."""
        options = EngineOptions(language=self.language.lower(), prompt=self.prompt)
        return msgspec.structs.replace(options, task="translate") if self.translate else options

    def results(self, path: Path) -> dict[str, Path]:
        """Return {format: the file that it is written to}; empty for the terminal."""
        if self.output == "-":
            return {}
        folder = Path(self.output).expanduser() if self.output else path.parent
        return {form: folder / f"{path.stem}.{form}" for form in self.formats}


class ResultExists(AirnodeError):
    """The result is there already."""

    code, title, status = "result_exists", "The result exists", 409


def run(loaded: Loaded, wanted: WantedText, files: Sequence[Path], watched: Path | None) -> int:
    """Transcribe and return the exit code."""
    if watched is not None and not watched.is_dir():
        raise click.UsageError(f"{watched} is not a directory.")
    settings = loaded.settings
    level = "warning" if loaded.origins["log.level"] == "default" else settings.log.level
    logging.configure(level, settings.log.format, {})
    return asyncio.run(_run(loaded, wanted, files, watched))


async def _run(loaded: Loaded, wanted: WantedText, files: Sequence[Path], watched: Path | None) -> int:
    section = loaded.settings.speech
    engine = engine_for(section, loaded.settings.node.data_dir, CollectorRegistry())
    work = _Work(wanted, FileTranscriber(section, engine))
    try:
        if watched is not None:
            await _watch(work, watched)
        for path in files:
            await work.do(path)
    finally:
        await engine.stop()
    return 1 if work.failed else 0


class _Work:
    """Transcribes file after file and says what became of each. ``failed`` counts those with an error or a gap."""

    def __init__(self, wanted: WantedText, transcriber: FileTranscriber) -> None:
        self.wanted = wanted
        self.failed = 0
        self._transcriber = transcriber

    async def do(self, path: Path) -> None:
        """Transcribe one file. Raises ModelMissing and SpeechMissing, which no other file would escape."""
        began = time.monotonic()
        try:
            found = await self._done(path)
        except (ModelMissing, SpeechMissing):
            raise
        except (AirnodeError, OSError) as error:
            self.failed += 1
            self._say_error(path, error)
            return
        if found.gaps:
            self.failed += 1
        self._say(path, found, time.monotonic() - began)

    async def _done(self, path: Path) -> Transcription:
        results = self.wanted.results(path)
        for result in results.values():
            if result.exists() and not self.wanted.overwrite:
                raise ResultExists(f"{result} exists; add --overwrite to replace it.")
        with _bar(path.name) as on_progress:
            found = await self._transcriber.transcribe(path, self.wanted.options, on_progress)
        for form, result in results.items():
            result.parent.mkdir(parents=True, exist_ok=True)
            _write(result, FORMATS[form](found))
        if not results:
            for form in self.wanted.formats:
                click.echo(FORMATS[form](found), nl=False)
        return found

    def _say(self, path: Path, found: Transcription, elapsed_s: float) -> None:
        results = self.wanted.results(path)
        if self.wanted.as_json:
            body = {
                "file": str(path),
                "results": {form: str(result) for form, result in results.items()},
                "language": found.language,
                "duration_s": found.duration_s,
                "elapsed_s": round(elapsed_s, 3),
                "has_speech": found.has_speech,
                "gaps": [[gap.start_s, gap.end_s, gap.reason] for gap in found.gaps],
            }
            click.echo(json.dumps(body, ensure_ascii=False))
            return
        names = ", ".join(str(result) for result in results.values()) or "done"
        what = f"language {found.language}" if found.has_speech else "no speech"
        click.echo(f"{path}: {names} ({what}, {found.duration_s:.0f} s in {elapsed_s:.1f} s)", err=not results)
        for gap in found.gaps:
            click.echo(f"{path}: {gap.start_s:.0f} s to {gap.end_s:.0f} s is missing: {gap.reason}", err=True)

    def _say_error(self, path: Path, error: AirnodeError | OSError) -> None:
        text = str(error) if isinstance(error, AirnodeError) else error.strerror or str(error)
        if self.wanted.as_json:
            code = error.code if isinstance(error, AirnodeError) else "os_error"
            click.echo(json.dumps({"file": str(path), "error": code, "message": text}, ensure_ascii=False))
        else:
            click.echo(f"{path}: {text}", err=True)


async def _watch(work: _Work, folder: Path) -> None:
    """Transcribe what is in a directory and comes into it, each file once it no longer grows, for ever."""
    click.echo(f"Watching {folder}; Ctrl+C ends it.", err=True)
    #: {file: (size, time of change) that was transcribed, refused, or found with its results}
    known: dict[Path, tuple[int, int]] = {}
    while True:
        for path, stamp in _complete(folder):
            if known.get(path) == stamp:
                continue
            known[path] = stamp
            if work.wanted.overwrite or not all(each.exists() for each in work.wanted.results(path).values()):
                await work.do(path)
        await asyncio.sleep(_POLL_S)


def _complete(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Yield the files that have not changed for a while, but not results and hidden ones."""
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or suffix in _UNFINISHED or suffix.removeprefix(".") in FORMATS:
            continue
        try:
            stat = path.stat()
        except OSError:
            continue
        if path.is_file() and time.time() - stat.st_mtime >= _QUIET_S:
            yield path, (stat.st_size, stat.st_mtime_ns)


@contextmanager
def _bar(name: str) -> Iterator[OnProgress]:
    """Show a bar on the terminal's error output; nothing where that is none."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _write(path: Path, text: str) -> None:
    """Write a file all at once: whoever sees it sees it whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
