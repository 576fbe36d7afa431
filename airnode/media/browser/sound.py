"""The sound of one publishing browser: AAC passes through, Opus is converted in a thread, in order, off the loop.

At most one job per publisher runs at a time; packets that come meanwhile wait for the next one, bounded.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final

import structlog

from airnode.kernel.tasks import TaskScope
from airnode.media.browser.metrics import BrowserMetrics
from airnode.media.browser.opus_to_aac import ConverterMissing, OpusToAac
from airnode.media.codecs.bits import BitstreamError
from airnode.media.frames import Frame, IngestEvent, RefusedTrack

log = structlog.get_logger(__name__)

#: Most packets that wait: 2 s of 20 ms. Beyond it the oldest are dropped.
MAX_WAITING: Final = 100
#: Sound that cannot be converted is reported again this often, so that the studio keeps showing it.
_REFUSE_EVERY_S: Final = 10.0
MISSING: Final = (
    "This server cannot convert the browser's sound (Opus) to AAC, because PyAV is missing; the picture goes on. "
    "Install it on the node with: pip install 'airnode[media]'"
)


class ConvertedSound:
    """Converts the Opus packets of one publisher.

    Args:
        take: receives the AAC frames, on the loop.
        missing: called once if PyAV is not installed; the sound is then left out.
    """

    def __init__(
        self,
        executor: Executor,
        tasks: TaskScope,
        metrics: BrowserMetrics,
        *,
        bitrate_bps: int,
        take: Callable[[Sequence[IngestEvent]], None],
        missing: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._tasks = tasks
        self._metrics = metrics
        self._bitrate_bps = bitrate_bps
        self._take = take
        self._missing = missing
        self._converter: OpusToAac | None = None
        self._waiting: deque[Frame] = deque()
        self._running = False
        self._refused = False
        self._refused_s = float("-inf")
        self._closed = False

    def configure(self, record: bytes) -> list[IngestEvent]:
        """Take the body of a dOps box. Return the events to pass on now."""
        self._waiting.clear()
        try:
            self._converter = OpusToAac(record, self._bitrate_bps)
        except BitstreamError:
            self._converter = None
            self._metrics.sound_dropped.labels("config").inc()
        return []

    def push(self, packet: Frame) -> list[IngestEvent]:
        """Queue a packet. Return the events to pass on now; the AAC frames go to ``take``."""
        if self._refused:
            return self._refusal(packet.arrived_s)
        if self._converter is None:
            self._metrics.sound_dropped.labels("config").inc()
            return []
        self._waiting.append(packet)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._metrics.sound_dropped.labels("queue").inc()
        if not self._running:
            self._running = True
            _ = self._tasks.spawn("sound", self._convert())
        return []

    def close(self) -> None:
        """Take no more frames."""
        self._closed = True
        self._waiting.clear()

    async def _convert(self) -> None:
        try:
            while self._waiting and (converter := self._converter) is not None:
                packets = list(self._waiting)
                self._waiting.clear()
                before = converter.invalid
                events, cpu_s = await asyncio.get_running_loop().run_in_executor(
                    self._executor, _timed, converter, packets
                )
                self._metrics.sound_cpu.inc(cpu_s)
                self._metrics.sound_dropped.labels("invalid").inc(converter.invalid - before)
                if self._closed:
                    return
                if converter is self._converter:
                    self._take(events)
        except ConverterMissing as error:
            self._refused = True
            log.warning("browser_sound_not_converted", error=str(error), todo="pip install 'airnode[media]'")
            if not self._closed:
                self._missing()
        finally:
            self._running = False

    def _refusal(self, now_s: float) -> list[IngestEvent]:
        self._metrics.sound_dropped.labels("no_converter").inc()
        if now_s - self._refused_s < _REFUSE_EVERY_S:
            return []
        self._refused_s = now_s
        return [RefusedTrack("audio", "Opus")]


def _timed(converter: OpusToAac, packets: Sequence[Frame]) -> tuple[list[IngestEvent], float]:
    """Return the converted frames, and the seconds of CPU time that they took in this thread."""
    began_s = time.thread_time()
    return converter.convert(packets), time.thread_time() - began_s
