"""Messages between the local engine and its process, on a Unix socket.

A frame is the length of its body (4 bytes, big-endian) and the body, JSON of one message. After a frame with
`audio_bytes` come so many bytes of audio.
"""

import asyncio
import struct
from typing import Final

import msgspec

from airnode.speech.engines.engine import EngineOptions
from airnode.speech.words import SpokenSegment

MAX_BODY_BYTES: Final = 16 << 20
LENGTH: Final = struct.Struct(">I")


class EngineSetup(msgspec.Struct, frozen=True):
    """The argument of the process.

    Attributes:
        socket_fd: its end of the socket.
        model: name or directory.
        concurrency: audios at once.
        threads: of each of them.
        nice: see nice(2).
    """

    socket_fd: int
    model: str
    models_dir: str
    may_download: bool
    device: str
    compute_type: str
    concurrency: int
    threads: int
    batch_size: int
    beam_size: int
    nice: int


class TranscribeAudio(msgspec.Struct, frozen=True, tag=True):
    """Transcribe audio: so many bytes after this frame, or for 0 those of the file ``path``."""

    id: int
    options: EngineOptions
    audio_bytes: int
    path: str = ""


class DetectLanguage(msgspec.Struct, frozen=True, tag=True):
    """Say which of the languages is spoken; none are given: of all."""

    id: int
    languages: tuple[str, ...]
    audio_bytes: int
    path: str = ""


class CancelWork(msgspec.Struct, frozen=True, tag=True):
    """Stop with this after the segments in hand."""

    id: int


EngineOrder = TranscribeAudio | DetectLanguage | CancelWork


class ModelLoaded(msgspec.Struct, frozen=True, tag=True):
    """The first message: the process can work."""

    device: str
    compute_type: str
    languages: tuple[str, ...]
    versions: dict[str, str]


class ModelFailed(msgspec.Struct, frozen=True, tag=True):
    """The first message, if the model cannot be loaded: the code of an error, and a sentence."""

    code: str
    detail: str


class SegmentDone(msgspec.Struct, frozen=True, tag=True):
    """One more segment of an audio."""

    id: int
    segment: SpokenSegment


class AudioDone(msgspec.Struct, frozen=True, tag=True):
    """An audio is transcribed, or its language is detected."""

    id: int
    language: str
    probability: float
    duration_s: float


class AudioFailed(msgspec.Struct, frozen=True, tag=True):
    """An audio could not be transcribed: the code of an error, and a sentence."""

    id: int
    code: str
    detail: str


EngineReport = ModelLoaded | ModelFailed | SegmentDone | AudioDone | AudioFailed


def framed(message: EngineOrder | EngineReport) -> bytes:
    """Return the frame of a message."""
    body = msgspec.json.encode(message)
    return LENGTH.pack(len(body)) + body


async def read_report(reader: asyncio.StreamReader) -> EngineReport:
    """Return the next report.

    Raises:
        EOFError: the process has ended (IncompleteReadError is one).
        msgspec.DecodeError: this is no report.
    """
    (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if size > MAX_BODY_BYTES:
        raise msgspec.DecodeError(f"a report of {size} bytes")
    report: EngineReport = msgspec.json.decode(await reader.readexactly(size), type=EngineReport)
    return report
