"""The program of the engine's process: ``python -I -m airnode.speech.engines.local_program '<EngineSetup>'``.

One thread reads orders; a pool of threads transcribes. It ends when airnode closes the socket.
"""

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from airnode.errors import AirnodeError
from airnode.speech.audio import SAMPLE_RATE
from airnode.speech.engines.local_messages import (
    LENGTH,
    AudioDone,
    AudioFailed,
    CancelWork,
    DetectLanguage,
    EngineOrder,
    EngineReport,
    EngineSetup,
    ModelFailed,
    ModelLoaded,
    SegmentDone,
    TranscribeAudio,
    framed,
)
from airnode.speech.engines.whisper import Samples, Whisper
from airnode.speech.models import Models

_LIBRARIES: Final = ("faster-whisper", "ctranslate2", "onnxruntime", "av")


class EngineProgram:
    """Answers orders on a socket."""

    def __init__(self, whisper: Whisper, link: socket.socket, concurrency: int) -> None:
        self._whisper = whisper
        self._link = link
        self._stream = link.makefile("rb")
        self._sending = threading.Lock()
        #: Ids of work that is no longer wanted. Written by the reading thread.
        self._cancelled: set[int] = set()
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="speech")

    def send(self, report: EngineReport) -> None:
        """Send a report; from any thread."""
        with self._sending:
            self._link.sendall(framed(report))

    def serve(self) -> None:
        """Answer orders until airnode closes the socket."""
        while (size := self._stream.read(LENGTH.size)) and len(size) == LENGTH.size:
            body = self._stream.read(*LENGTH.unpack(size))
            order: EngineOrder = msgspec.json.decode(body, type=EngineOrder)
            if isinstance(order, CancelWork):
                self._cancelled.add(order.id)
            else:
                data = self._stream.read(order.audio_bytes)
                self._pool.submit(self._work, order, data)

    def _work(self, order: TranscribeAudio | DetectLanguage, data: bytes) -> None:
        try:
            if order.id not in self._cancelled:
                self._done(order, _samples(data, order.path))
        except AirnodeError as error:
            self.send(AudioFailed(order.id, error.code, error.detail))
        except (RuntimeError, ValueError, OSError, MemoryError) as error:
            self.send(AudioFailed(order.id, "engine_failed", f"{type(error).__name__}: {error}"))
        finally:
            self._cancelled.discard(order.id)

    def _done(self, order: TranscribeAudio | DetectLanguage, audio: Samples) -> None:
        duration_s = len(audio) / SAMPLE_RATE
        if isinstance(order, DetectLanguage):
            language, probability = self._whisper.detect(audio, order.languages)
        else:
            language, probability = self._transcribed(order, audio)
        self.send(AudioDone(order.id, language, round(probability, 4), round(duration_s, 3)))

    def _transcribed(self, order: TranscribeAudio, audio: Samples) -> tuple[str, float]:
        language, probability = self._whisper.checked(order.options.language), 1.0
        if not language:
            language, probability = self._whisper.detect(audio, order.options.languages)
        if language:
            for segment in self._whisper.transcribe(
                audio, order.options, language, lambda: order.id in self._cancelled
            ):
                self.send(SegmentDone(order.id, segment))
        return language, probability


def _samples(data: bytes, path: str) -> Samples:
    raw = np.fromfile(path, dtype="<i2") if path else np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2")
    return raw.astype(np.float32) / 32768.0


def main() -> None:
    """Load the model, say so, and serve."""
    setup = msgspec.json.decode(sys.argv[1], type=EngineSetup)
    os.nice(setup.nice)
    link = socket.socket(fileno=setup.socket_fd)
    link.setblocking(True)
    try:
        directory = Models(Path(setup.models_dir), setup.may_download).get(setup.model)
        whisper = Whisper(str(directory), setup)
    except AirnodeError as error:
        link.sendall(framed(ModelFailed(error.code, error.detail)))
        return
    except (RuntimeError, ValueError, OSError) as error:
        link.sendall(framed(ModelFailed("model_missing", f"The model cannot be loaded: {error}")))
        return
    program = EngineProgram(whisper, link, setup.concurrency)
    versions = {name: version(name) for name in _LIBRARIES}
    program.send(ModelLoaded(whisper.device, whisper.compute_type, whisper.languages, versions))
    program.serve()
    os._exit(0)  # work that nobody waits for may be going on


if __name__ == "__main__":
    main()
