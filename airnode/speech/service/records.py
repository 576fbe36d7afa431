"""Transcripts in PostgreSQL: what was asked for, how far it is, and what was said."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from airnode.speech.engines.engine import EngineOptions
from airnode.speech.words import SpeechGap, SpokenSegment, Transcription, Word
from airnode.store.postgres import Postgres


class TranscriptState(enum.StrEnum):
    """The state of a transcript. The last three are final."""

    QUEUED = "queued"  # the upload is on a disk, and waits to be cut
    PROCESSING = "processing"  # it is cut into pieces, which wait or are worked on
    COMPLETED = "completed"  # what was said is stored, perhaps with gaps
    FAILED = "failed"  # nothing could be transcribed
    CANCELLED = "cancelled"  # somebody cancelled it

    @property
    def is_final(self) -> bool:
        """Return whether nothing more happens to it."""
        return self not in (TranscriptState.QUEUED, TranscriptState.PROCESSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptRecord:
    """A row of ``speech.transcripts``.

    Attributes:
        owner: whose it is, such as ``teacher:kim``. options: what was asked for.
        node_id: the master whose disk has the upload.
        queue: where its pieces wait. pieces: 0: it is not cut yet.
        language: of what was said; empty: not known. error_code: why it failed; empty: it has not.
    """

    transcript_id: str
    owner: str
    node_id: str
    file_name: str
    size_bytes: int
    duration_s: float
    options: EngineOptions
    queue: str
    state: TranscriptState = TranscriptState.QUEUED
    pieces: int = 0
    failed_pieces: int = 0
    language: str = ""
    language_probability: float = 0.0
    gaps: tuple[SpeechGap, ...] = ()
    error_code: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None


_COLUMNS = """transcript_id, owner, node_id, file_name, size_bytes, duration_s, options, queue, state, pieces,
    failed_pieces, language, language_probability, gaps, error_code, created_at, ended_at"""
_INSERT = """
INSERT INTO speech.transcripts
    (transcript_id, owner, node_id, file_name, size_bytes, duration_s, options, queue, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued')
"""
_GET = f"SELECT {_COLUMNS} FROM speech.transcripts WHERE transcript_id = $1"  # noqa: S608 - constant columns
_LIST = (
    f"SELECT {_COLUMNS} FROM speech.transcripts "  # noqa: S608 - constant columns
    "WHERE $1::text IS NULL OR owner = $1 ORDER BY created_at DESC LIMIT $2"
)
_OPEN_OF = "SELECT count(*) FROM speech.transcripts WHERE owner = $1 AND state IN ('queued', 'processing')"
_OPEN_HERE = (
    f"SELECT {_COLUMNS} FROM speech.transcripts "  # noqa: S608 - constant columns
    "WHERE node_id = $1 AND state IN ('queued', 'processing') ORDER BY created_at"
)
_AUDIO_BEFORE = """
SELECT coalesce(sum(duration_s), 0) FROM speech.transcripts
WHERE state IN ('queued', 'processing') AND created_at < coalesce($1, now())
"""
_CUT = """
UPDATE speech.transcripts SET state = 'processing', pieces = $2, duration_s = $3,
    started_at = coalesce(started_at, now())
WHERE transcript_id = $1 AND state IN ('queued', 'processing') RETURNING transcript_id
"""
_END = """
UPDATE speech.transcripts SET state = $2, error_code = $3, ended_at = now()
WHERE transcript_id = $1 AND state IN ('queued', 'processing') RETURNING transcript_id
"""
_COMPLETE = """
UPDATE speech.transcripts SET state = 'completed', failed_pieces = $2, language = $3, language_probability = $4,
    gaps = $5, ended_at = now()
WHERE transcript_id = $1 AND state IN ('queued', 'processing') RETURNING transcript_id
"""
_ADD_SEGMENT = """
INSERT INTO speech.segments (transcript_id, number, start_s, end_s, text, words, scores)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_SEGMENTS = """
SELECT start_s, end_s, text, words, scores FROM speech.segments WHERE transcript_id = $1 ORDER BY number
"""
_DELETE = "DELETE FROM speech.transcripts WHERE transcript_id = $1"


class _Scores(msgspec.Struct, frozen=True):
    """How sure the model was of a segment."""

    log_probability: float
    no_speech_probability: float
    compression_ratio: float
    temperature: float


class Transcripts:
    """The tables. All methods raise Unavailable (503) when the database does not answer."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def insert(self, record: TranscriptRecord) -> None:
        """Insert a queued transcript. From then on its upload counts as taken."""
        await self._postgres.execute(
            _INSERT,
            record.transcript_id,
            record.owner,
            record.node_id,
            record.file_name,
            record.size_bytes,
            record.duration_s,
            _json(record.options),
            record.queue,
        )

    async def get(self, transcript_id: str) -> TranscriptRecord | None:
        """Return a transcript, None if there is none."""
        row = await self._postgres.fetchrow(_GET, transcript_id)
        return None if row is None else _record(row)

    async def newest(self, owner: str | None, count: int) -> list[TranscriptRecord]:
        """Return the newest transcripts of an owner; None: of all."""
        return [_record(row) for row in await self._postgres.fetch(_LIST, owner, count)]

    async def open_count(self, owner: str) -> int:
        """Return how many transcripts of an owner have not ended."""
        return int(await self._postgres.fetchval(_OPEN_OF, owner))

    async def open_of_node(self, node_id: str) -> list[TranscriptRecord]:
        """Return the transcripts that have not ended and whose uploads are on a node."""
        return [_record(row) for row in await self._postgres.fetch(_OPEN_HERE, node_id)]

    async def audio_before_s(self, moment: datetime | None) -> float:
        """Return the seconds of audio of all transcripts that came before a moment (None: now) and have not ended."""
        return float(await self._postgres.fetchval(_AUDIO_BEFORE, moment))

    async def cut(self, transcript_id: str, pieces: int, duration_s: float) -> bool:
        """Note that it has been cut; return False if it has ended."""
        return await self._postgres.fetchval(_CUT, transcript_id, pieces, duration_s) is not None

    async def end(self, transcript_id: str, state: TranscriptState, error_code: str = "") -> bool:
        """End it without a result; return False if it has ended already."""
        return await self._postgres.fetchval(_END, transcript_id, state.value, error_code) is not None

    async def complete(self, transcript_id: str, result: Transcription, failed_pieces: int) -> bool:
        """Store what was said, once; return False if it has ended already.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the connection was lost.
        """
        rows = [_segment_row(transcript_id, number, segment) for number, segment in enumerate(result.segments)]
        async with self._postgres.transaction() as connection:
            done = await connection.fetchval(
                _COMPLETE,
                transcript_id,
                failed_pieces,
                result.language,
                result.language_probability,
                _json(result.gaps),
            )
            if done is None:
                return False
            await connection.executemany(_ADD_SEGMENT, rows)
        return True

    async def transcription(self, record: TranscriptRecord) -> Transcription:
        """Return what was said in a completed transcript."""
        rows = await self._postgres.fetch(_SEGMENTS, record.transcript_id)
        return Transcription(
            record.language,
            record.language_probability,
            record.duration_s,
            tuple(_segment(row) for row in rows),
            record.gaps,
        )

    async def delete(self, transcript_id: str) -> None:
        """Remove a transcript with what was said."""
        await self._postgres.execute(_DELETE, transcript_id)

    async def existing(self, transcript_ids: Collection[str]) -> set[str]:
        """Return those of the ids that are transcripts which have not ended."""
        statement = (
            "SELECT transcript_id FROM speech.transcripts "
            "WHERE transcript_id = ANY($1::text[]) AND state IN ('queued', 'processing')"
        )
        rows: Sequence[Any] = await self._postgres.fetch(statement, list(transcript_ids))
        return {row["transcript_id"] for row in rows}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _record(row: Any) -> TranscriptRecord:
    values = dict(row)
    values["options"] = msgspec.json.decode(values["options"], type=EngineOptions)
    values["gaps"] = msgspec.json.decode(values["gaps"], type=tuple[SpeechGap, ...])
    values["state"] = TranscriptState(values["state"])
    return TranscriptRecord(**values)


def _segment_row(transcript_id: str, number: int, segment: SpokenSegment) -> tuple[object, ...]:
    scores = _Scores(
        segment.log_probability, segment.no_speech_probability, segment.compression_ratio, segment.temperature
    )
    words = _json(segment.words)
    # PostgreSQL's text and jsonb have no U+0000, and a segment never ends before it starts.
    text = segment.text.replace("\x00", "")
    end_s = max(segment.start_s, segment.end_s)
    return transcript_id, number, segment.start_s, end_s, text, words.replace("\\u0000", ""), _json(scores)


def _segment(row: Any) -> SpokenSegment:
    scores = msgspec.json.decode(row["scores"], type=_Scores)
    return SpokenSegment(
        row["text"],
        row["start_s"],
        row["end_s"],
        msgspec.json.decode(row["words"], type=tuple[Word, ...]),
        scores.log_probability,
        scores.no_speech_probability,
        scores.compression_ratio,
        scores.temperature,
    )
