"""Transcripts in the formats of OpenAI's API."""

from collections.abc import Collection

import msgspec

from airnode.speech.engines.engine import Task
from airnode.speech.formats import FORMATS, to_verbose_json
from airnode.speech.words import Transcription

#: {name of the format: media type}.
CONTENT_TYPES = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "text/plain",
    "vtt": "text/plain",
    "verbose_json": "application/json",
}


def body_of(result: Transcription, name: str, task: Task, granularities: Collection[str]) -> bytes:
    """Return the body of an answer.

    Args:
        name: of :data:`CONTENT_TYPES`. granularities: ``word``, ``segment`` or both, for ``verbose_json``.
    """
    if name == "json":
        seconds = round(result.duration_s)
        return msgspec.json.encode({"text": result.text, "usage": {"type": "duration", "seconds": seconds}})
    if name == "verbose_json":
        segments, words = "segment" in granularities, "word" in granularities
        return to_verbose_json(result, segments=segments, words=words, task=task).encode()
    return (result.text + "\n" if name == "text" else FORMATS[name](result)).encode()
