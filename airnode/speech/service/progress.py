"""How far each piece of a transcript is: workers write it to Redis, and masters read it.

It is only for showing. What counts are the results of the jobs.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from airnode.bus.client import Bus, unavailable
from airnode.bus.keys import PREFIX
from airnode.kernel.service import Service

#: Pub/sub channel of :class:`TranscriptChanged`.
CHANNEL = "transcripts"
#: Longer than any job waits for a worker; what is left of a lost job disappears after it.
_KEEP_S = 2 * 86_400


class TranscriptChanged(msgspec.Struct, frozen=True):
    """There is more to read about a transcript."""

    transcript_id: str


class PieceProgress(msgspec.Struct, frozen=True):
    """How far a piece is.

    Attributes:
        fraction: 0 to 1, of the piece's duration. text: what has been heard in it so far.
    """

    state: Literal["active", "done", "failed"]
    fraction: float = 0.0
    text: str = ""


def progress_key(transcript_id: str) -> str:
    """Return the key of the hash {index of the piece: :class:`PieceProgress`} of a transcript; it expires."""
    return f"{PREFIX}speech:progress:{transcript_id}"


def language_key(transcript_id: str) -> str:
    """Return the key of the language of a transcript, as the first piece that speaks has it; it expires."""
    return f"{PREFIX}speech:language:{transcript_id}"


class FoundLanguage(msgspec.Struct, frozen=True):
    """A detected language: ISO 639 code, and its probability, 0 to 1."""

    code: str
    probability: float


class ProgressBoard:
    """The progress of all transcripts, in Redis. All methods raise Unavailable (503) when it does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def write(self, transcript_id: str, index: int, progress: PieceProgress) -> None:
        """Write the progress of a piece, and publish that there is some."""
        key = progress_key(transcript_id)
        with unavailable():
            pipeline = self._bus.client.pipeline(transaction=False)
            pipeline.hset(key, str(index), msgspec.json.encode(progress))
            pipeline.expire(key, _KEEP_S)
            await pipeline.execute()
        await self.announce(transcript_id)

    async def read(self, transcript_id: str) -> Mapping[int, PieceProgress]:
        """Return the progress of the pieces that have begun, {index: progress}."""
        key = progress_key(transcript_id)
        with unavailable():
            found = await self._bus.client.hgetall(key)
        decoded = {int(index): self._bus.decode_value(data, PieceProgress, key) for index, data in found.items()}
        return {index: progress for index, progress in decoded.items() if progress is not None}

    async def language(self, transcript_id: str) -> FoundLanguage | None:
        """Return the language that was detected; None: not yet."""
        key = language_key(transcript_id)
        with unavailable():
            data = await self._bus.client.get(key)
        return None if data is None else self._bus.decode_value(data, FoundLanguage, key)

    async def settle_language(self, transcript_id: str, found: FoundLanguage) -> FoundLanguage:
        """Return the language of a transcript: this one, unless another worker found one first."""
        with unavailable():
            data = msgspec.json.encode(found)
            if await self._bus.client.set(language_key(transcript_id), data, nx=True, ex=_KEEP_S):
                return found
        return await self.language(transcript_id) or found

    async def forget(self, transcript_id: str) -> None:
        """Remove the progress of a transcript that has ended, and publish that it changed."""
        with unavailable():
            await self._bus.client.delete(progress_key(transcript_id), language_key(transcript_id))
        await self.announce(transcript_id)

    async def announce(self, transcript_id: str) -> None:
        """Publish that a transcript changed."""
        await self._bus.publish(CHANNEL, TranscriptChanged(transcript_id))


class TranscriptChanges(Service):
    """Wakes those of this process who wait for a change of a transcript."""

    name = "transcript-changes"

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus
        #: {transcript id: events of those who wait}. An entry goes with its last one.
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def start(self) -> None:
        """Subscribe. Raises Unavailable."""
        await self._bus.subscribe(CHANNEL, TranscriptChanged, self._changed, on_resubscribed=self._wake_all)

    @contextlib.contextmanager
    def waiting(self, transcript_id: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set at each change; the caller clears it before it reads."""
        event = asyncio.Event()
        self._waiting.setdefault(transcript_id, set()).add(event)
        try:
            yield event
        finally:
            others = self._waiting[transcript_id]
            others.discard(event)
            if not others:
                del self._waiting[transcript_id]

    async def _changed(self, message: TranscriptChanged) -> None:
        for event in self._waiting.get(message.transcript_id, ()):
            event.set()

    async def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
