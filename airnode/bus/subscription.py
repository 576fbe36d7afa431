"""A subscription to a channel: decoding, a bounded queue, and the task that calls the handler."""

import asyncio
import collections
import enum
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from airnode.bus.envelope import Envelope, Undecodable, type_name
from airnode.kernel.logging import LogLimiter

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=msgspec.Struct)

#: Largest number of messages in the queue of a subscription. Further ones are dropped, counted, and reported as a gap.
QUEUE_MAX = 1000
_LOG_EVERY_S = 1.0


class _QueueMark(enum.Enum):
    """Marks the place in a queue where messages are missing."""

    GAP = enum.auto()


_GAP: Final = _QueueMark.GAP


class BusMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("airnode_bus_published_total", "Messages published.", registry=registry)
        self.received = Counter("airnode_bus_received_total", "Messages handled.", registry=registry)
        self.resubscribed = Counter(
            "airnode_bus_resubscribed_total",
            "Times that the pub/sub connection was lost and came back.",
            registry=registry,
        )
        self.dropped = Counter(
            "airnode_bus_dropped_total",
            "Messages dropped: too_large, garbage, unknown_version, unknown_type, "
            "wrong_body, queue_full, handler_failed; bad_value: a stored value.",
            ["reason"],
            registry=registry,
        )


class DropReport:
    """Counts dropped messages, and logs at most one line per second and reason."""

    def __init__(self, metrics: BusMetrics) -> None:
        self._metrics = metrics
        self._limiter = LogLimiter(_LOG_EVERY_S)

    def count(self, reason: str, channel: str, detail: str) -> None:
        self._metrics.dropped.labels(reason=reason).inc()
        held_back = self._limiter.held_back(reason)
        if held_back is not None:
            log.warning(
                "bus_message_dropped", reason=reason, channel=channel, detail=detail, not_logged_before=held_back
            )


class ChannelSubscription(Generic[M]):
    """Messages of one type on one channel, handled one at a time and in order.

    Args:
        on_resubscribed: called between two messages if messages between them may be missing, because the connection
            was lost or the queue was full. The callback must read the state again from its store.
    """

    def __init__(
        self,
        channel: str,
        kind: type[M],
        handler: Callable[[M], Awaitable[None]],
        on_resubscribed: Callable[[], Awaitable[None]] | None,
        metrics: BusMetrics,
        drops: DropReport,
    ) -> None:
        self.channel = channel
        self.type_name = type_name(kind)
        self.ready = asyncio.Event()
        self._decoder = msgspec.json.Decoder(kind)
        self._handler = handler
        self._on_resubscribed = on_resubscribed
        self._metrics = metrics
        self._drops = drops
        #: Decoded messages and gaps, at most QUEUE_MAX + 1. Filled by the listener, emptied by :meth:`run`.
        self._queue: collections.deque[M | _QueueMark] = collections.deque()
        self._wake = asyncio.Event()

    def offer(self, envelope: Envelope) -> None:
        """Decode a message and put it into the queue.

        Raises:
            Undecodable: the body is not of this type.
        """
        try:
            message = self._decoder.decode(envelope.b)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable("wrong_body", f"{self.type_name}: {error}") from None
        if len(self._queue) >= QUEUE_MAX:
            self._drops.count("queue_full", self.channel, f"{self.type_name}: the handler is too slow")
            self.mark_gap()
            return
        self._queue.append(message)
        self._wake.set()

    def mark_gap(self) -> None:
        """Mark that messages may be missing at this point."""
        if not self._queue or self._queue[-1] is not _GAP:
            self._queue.append(_GAP)
            self._wake.set()

    async def run(self) -> None:
        """Handle messages until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._handle(self._queue.popleft())

    async def _handle(self, item: M | _QueueMark) -> None:
        try:
            if not isinstance(item, _QueueMark):
                await self._handler(item)
                self._metrics.received.inc()
            elif self._on_resubscribed is not None:
                await self._on_resubscribed()
        except Exception as error:  # noqa: BLE001 - one bad message must not end the subscription
            self._drops.count("handler_failed", self.channel, repr(error))


AnyChannelSubscription = ChannelSubscription[Any]
