"""Waits for transcripts: until they end, or until there is more to show."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from airnode.errors import NotFound
from airnode.speech.service.progress import TranscriptChanges
from airnode.speech.service.records import TranscriptRecord, Transcripts


@dataclass(frozen=True, slots=True)
class Waits:
    """How long clients are waited for, and wait.

    Attributes:
        answer_s: longest wait for a transcript, ``speech.answer_timeout_s``.
        write_s: a client that accepts no event for this long is disconnected.
    """

    answer_s: float
    write_s: float


#: A change may be lost on the bus; so we look again after this long.
_LOOK_AGAIN_S = 2.0


async def changes_of(
    transcript_id: str, transcripts: Transcripts, changes: TranscriptChanges, timeout_s: float
) -> AsyncIterator[TranscriptRecord]:
    """Yield a transcript now and after each change, until it has ended or ``timeout_s`` is over.

    Raises:
        NotFound: (404) it is gone. Unavailable: (503) the database does not answer.
    """
    until_s = time.monotonic() + timeout_s
    with changes.waiting(transcript_id) as changed:
        while True:
            changed.clear()
            record = await transcripts.get(transcript_id)
            if record is None:
                raise NotFound("This transcript was removed.")
            yield record
            left_s = until_s - time.monotonic()
            if record.state.is_final or left_s <= 0:
                return
            try:
                async with asyncio.timeout(min(_LOOK_AGAIN_S, left_s)):
                    await changed.wait()
            except TimeoutError:
                continue


async def until_ended(
    transcript_id: str, transcripts: Transcripts, changes: TranscriptChanges, timeout_s: float
) -> TranscriptRecord:
    """Return a transcript when it has ended, or as it is after ``timeout_s``. Raises as :func:`changes_of`."""
    record: TranscriptRecord | None = None
    async for each in changes_of(transcript_id, transcripts, changes, timeout_s):
        record = each
    assert record is not None  # noqa: S101 - at least one is yielded
    return record
