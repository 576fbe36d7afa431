"""How much may be on its way to the log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from airnode.errors import TooLarge
from airnode.store.eventlog.log import Record


class Unsent:
    """Bytes that were handed over and are not stored yet; who comes when there are too many waits, in turn."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._room = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def room_for(self, count_bytes: int) -> AsyncIterator[None]:
        """Wait for room; one that is larger than the limit goes alone."""
        async with self._room:
            await self._room.wait_for(lambda: self._bytes == 0 or self._bytes + count_bytes <= self._limit_bytes)
            self._bytes += count_bytes
        try:
            yield
        finally:
            async with self._room:
                self._bytes -= count_bytes
                self._room.notify_all()


def check_sizes(records: Sequence[Record], limit_bytes: int) -> None:
    """Raises TooLarge for the first record over the limit."""
    for record in records:
        if len(record.value) > limit_bytes:
            raise TooLarge(
                f"A record of {len(record.value)} bytes for {record.topic} is over eventlog.max_record_bytes "
                f"({limit_bytes})."
            )
