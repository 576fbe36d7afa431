"""Bringing tracks that come apart, part by part, into one order of time. No I/O and no clock."""

from collections import deque

from airnode.media.frames import Frame, MediaEvent

#: A track that is this far behind the other is silent, and is not waited for until it is heard again.
SILENT_90K = 45_000
#: Most samples held back; beyond, they go on as they are.
_MAX_HELD = 2_000
_AT_ONCE = -(1 << 62)


class Interleaver:
    """Holds samples of each track until the other track has come as far.

    Args:
        kinds: of the tracks that there are: ``video``, ``audio``.
    """

    def __init__(self, kinds: set[str]) -> None:
        self._held: dict[str, deque[MediaEvent]] = {kind: deque() for kind in kinds}
        #: {kind: time of its newest sample}; None: nothing came yet.
        self._heads_90k: dict[str, int | None] = dict.fromkeys(kinds)

    def add(self, kind: str, events: list[MediaEvent]) -> list[MediaEvent]:
        """Take what came of a track, in its order; what may go on now, in order of time."""
        held = self._held.setdefault(kind, deque())
        self._heads_90k.setdefault(kind, None)
        for event in events:
            held.append(event)
            if isinstance(event, Frame):
                self._heads_90k[kind] = event.dts_90k
        return self._release()

    def flush(self) -> list[MediaEvent]:
        """All that is held back."""
        return self._merge(None)

    def _release(self) -> list[MediaEvent]:
        heads = [head for head in self._heads_90k.values() if head is not None]
        if not heads:
            return []
        latest = max(heads)
        waiting = len(heads) < len(self._heads_90k) and self._span_90k() < SILENT_90K
        crowded = sum(map(len, self._held.values())) > _MAX_HELD
        if waiting and not crowded:
            return []
        return self._merge(None if crowded else min(head for head in heads if latest - head < SILENT_90K))

    def _span_90k(self) -> int:
        """How much media is held back."""
        times = [_time_90k(event) for held in self._held.values() for event in held if _time_90k(event) != _AT_ONCE]
        return max(times) - min(times) if times else 0

    def _merge(self, until_90k: int | None) -> list[MediaEvent]:
        found: list[MediaEvent] = []
        while True:
            ready = [(_time_90k(held[0]), kind) for kind, held in self._held.items() if held]
            if not ready:
                return found
            time_90k, kind = min(ready)
            if until_90k is not None and time_90k > until_90k:
                return found
            found.append(self._held[kind].popleft())


def _time_90k(event: MediaEvent) -> int:
    """Configurations go as soon as it is their turn in their track."""
    return event.dts_90k if isinstance(event, Frame) else _AT_ONCE
