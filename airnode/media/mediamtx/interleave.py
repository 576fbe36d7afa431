"""Merges the samples of two tracks into the order of their timestamps. No I/O and no clock."""

from collections import deque

from airnode.media.frames import Frame, IngestEvent

#: A track that is this far behind the other one counts as silent. The other track then does not wait for it.
SILENT_90K = 45_000
#: If more samples than this are pending, all of them are released at once.
_MAX_PENDING = 2_000
#: The time of a configuration, so that it is released as soon as it is the first event of its track.
_AT_ONCE_90K = -(1 << 62)


class Interleaver:
    """Holds the samples of each track until the other track has reached the same time.

    Args:
        kinds: the existing tracks: ``video``, ``audio``.
    """

    def __init__(self, kinds: set[str]) -> None:
        self._pending: dict[str, deque[IngestEvent]] = {kind: deque() for kind in kinds}
        #: {kind: time of its newest sample}; None: no sample yet.
        self._heads_90k: dict[str, int | None] = dict.fromkeys(kinds)

    def add(self, kind: str, events: list[IngestEvent]) -> list[IngestEvent]:
        """Return the events that are released, in the order of time, after adding ``events`` of one track in order."""
        pending = self._pending.setdefault(kind, deque())
        self._heads_90k.setdefault(kind, None)
        for event in events:
            pending.append(event)
            if isinstance(event, Frame):
                self._heads_90k[kind] = event.dts_90k
        return self._release()

    def flush(self) -> list[IngestEvent]:
        """Return all pending events."""
        return self._merge(None)

    def _release(self) -> list[IngestEvent]:
        heads = [head for head in self._heads_90k.values() if head is not None]
        if not heads:
            return []
        latest = max(heads)
        must_wait = len(heads) < len(self._heads_90k) and self._span_90k() < SILENT_90K
        is_full = sum(map(len, self._pending.values())) > _MAX_PENDING
        if must_wait and not is_full:
            return []
        return self._merge(None if is_full else min(head for head in heads if latest - head < SILENT_90K))

    def _span_90k(self) -> int:
        """Return the duration of the pending samples."""
        times_90k = [
            event.dts_90k for pending in self._pending.values() for event in pending if isinstance(event, Frame)
        ]
        return max(times_90k) - min(times_90k) if times_90k else 0

    def _merge(self, until_90k: int | None) -> list[IngestEvent]:
        released: list[IngestEvent] = []
        while True:
            ready = [(_time_90k(pending[0]), kind) for kind, pending in self._pending.items() if pending]
            if not ready:
                return released
            time_90k, kind = min(ready)
            if until_90k is not None and time_90k > until_90k:
                return released
            released.append(self._pending[kind].popleft())


def _time_90k(event: IngestEvent) -> int:
    return event.dts_90k if isinstance(event, Frame) else _AT_ONCE_90K
