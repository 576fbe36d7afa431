"""Adds up the counts of all processes of the pipeline in Redis, once a second while they grow, for the admin page.

The counters of a process start at 0. Their growth is added to::

    airnode:pipeline:{pipeline}:totals            {"produced:orders": 81200, "landed:orders": 81187, "dead:orders": 3}
    airnode:pipeline:{pipeline}:minute:29921640   {"produced:orders": 601, "reads:hit": 1180, "peak:<group>:orders": 4}
    lease pipeline-members                        {"<process>": {"role": "consumer", "per_s": {"landed:orders": 9.8}}}

If it is unknown whether a report reached Redis, it is sent again, and counts once. The counts of the last second of a
killed process are missing here; the exact numbers are in the database.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec
import structlog

from airnode.bus.client import Bus, unavailable
from airnode.bus.leases import Leases
from airnode.bus.messages import Notice
from airnode.errors import AirnodeError, Unavailable
from airnode.kernel.backoff import repeat_every
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline import keys
from airnode.pipeline.metrics import ReportedMeter
from airnode.web.health import Identity

log = structlog.get_logger(__name__)

MEMBERS = "pipeline-members"
MINUTE_S = 60
_REPORT_EVERY_S = 1.0
_LEASE_S = 5.0
#: A process that has nothing new to report renews its lease after this time.
_RENEW_S = 2.0
_LEAVE_TIMEOUT_S = 3.0
_RATE_OVER_S = 5.0
_KEPT_S = 2 * 3600
#: Largest number of unreported minutes while Redis does not answer; beyond it, the oldest are merged.
_WAITING_MAX = 120

# Keys: totals, minute, last report. Arguments: number of the report, seconds for which a minute is kept, number of
# counts, then {field, count}…, {field, peak}….
_ADD_REPORT = """
if redis.call('GET', KEYS[3]) == ARGV[1] then
    return 0
end
local last = 3 + 2 * ARGV[3]
for i = 4, last, 2 do
    redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
end
for i = last + 1, #ARGV, 2 do
    if tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '-1') < tonumber(ARGV[i + 1]) then
        redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[2])
return 1
"""

#: {field such as ``produced:orders``: count since the start of this process}.
Counts = Mapping[str, float]


class PipelineProcess(msgspec.Struct, frozen=True):
    """A running process of the pipeline, in one of its roles.

    Attributes:
        per_s: {field: rate per second over the last five seconds}.
        lag: {group: {topic: records}}, as measured by this process.
        troubles: the reasons why it does not work, as sentences.
        notices: the same reasons with codes.
    """

    role: str
    node_name: str
    per_s: dict[str, float]
    lag: dict[str, dict[str, int]]
    troubles: list[str]
    notices: list[Notice] = []


class GrowthByMinute:
    """Computes reports from counts: growth by minute, rates, peaks of the lag. No I/O, no clock."""

    def __init__(self) -> None:
        self._before: Counter[str] = Counter()
        #: (seconds, counts) of the last seconds, for rates.
        self._recent: deque[tuple[float, Counter[str]]] = deque()
        #: {minute: unreported counts and peaks}, the oldest first.
        self._waiting: dict[int, tuple[Counter[str], Counter[str]]] = {}
        #: {field: highest lag so far} of the current minute. A report contains only peaks that rose.
        self._peaks: dict[str, int] = {}
        self._minute = 0

    def update(self, counts: Counts, lag: Mapping[str, Mapping[str, int]], minute: int, now_s: float) -> None:
        """Add the growth since the last call. ``minute``: unix seconds / 60; ``now_s``: time of a monotonic clock."""
        current: Counter[str] = Counter({field: int(count) for field, count in counts.items()})
        grown, peaks = self._waiting.setdefault(minute, (Counter(), Counter()))
        grown.update(current - self._before)
        if minute != self._minute:
            self._minute, self._peaks = minute, {}
        for group, topics in lag.items():
            for topic, records in topics.items():
                field = f"peak:{group}:{topic}"
                if records > self._peaks.get(field, -1):
                    self._peaks[field] = peaks[field] = records
        self._before = current
        self._recent.append((now_s, current))
        while len(self._recent) > 2 and self._recent[1][0] <= now_s - _RATE_OVER_S:
            self._recent.popleft()
        while len(self._waiting) > _WAITING_MAX:
            oldest, next_oldest = sorted(self._waiting)[:2]
            self._waiting[next_oldest][0].update(self._waiting.pop(oldest)[0])

    def per_s(self) -> dict[str, float]:
        """Return {field: growth per second} over the last seconds, without fields that did not grow."""
        (first_s, first), (last_s, last) = self._recent[0], self._recent[-1]
        grown = last - first
        length_s = max(last_s - first_s, 0.001)
        return {field: round(count / length_s, 2) for field, count in grown.items()}

    def take(self) -> tuple[int, Counter[str], Counter[str]] | None:
        """Remove and return (minute, counts, peaks) of the oldest unreported minute; None if all is reported."""
        while self._waiting:
            minute = min(self._waiting)
            counts, peaks = self._waiting.pop(minute)
            if counts or peaks:
                return minute, counts, peaks
        return None


class StatsReporter(Service):
    """Reports the counts of this process once a second, and that it is running.

    Args:
        role: the role of this process.
        lag: returns the lag of its groups, {group: {topic: records}}.
        checks: (code, health check); errors are reported with the code.
    """

    name = "stats-reporter"

    def __init__(
        self,
        bus: Bus,
        role: str,
        identity: Identity,
        meters: Sequence[ReportedMeter],
        tasks: TaskScope,
        *,
        lag: Callable[[], Mapping[str, Mapping[str, int]]] = dict,
        checks: Sequence[tuple[str, Callable[[], Awaitable[object]]]] = (),
    ) -> None:
        super().__init__()
        self._bus = bus
        self._leases = Leases(bus)
        self._role = role
        self._node_name = identity.node_name
        #: Different in each process, because each process numbers its reports from 1.
        self._reporter_id = f"{identity.node_id}/{role}/{secrets.token_hex(4)}"
        self._meters = meters
        self._tasks = tasks
        self._lag = lag
        self._checks = checks
        self._growth = GrowthByMinute()
        self._reported = 0
        #: The report that is being sent; it is sent unchanged until Redis confirms it.
        self._report: tuple[int, Counter[str], Counter[str]] | None = None
        #: What the lease contains, and the loop time of its renewal.
        self._leased: tuple[PipelineProcess | None, float] = (None, 0.0)

    async def start(self) -> None:
        self._measure()
        reporting = repeat_every(_REPORT_EVERY_S, self._report_now, failed="stats_not_reported", level=logging.DEBUG)
        self._tasks.spawn("report", reporting)

    async def stop(self) -> None:
        """Report the remaining counts, and drop the lease of this process."""
        await self._tasks.aclose()
        self._measure()
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._report_counts()
                await self._leases.drop_lease(MEMBERS, self._reporter_id)
        except (Unavailable, TimeoutError) as error:
            log.debug("stats_not_reported", error=repr(error))

    async def _report_now(self) -> None:
        self._measure()
        await self._renew_lease()
        await self._report_counts()

    async def _renew_lease(self) -> None:
        process, now_s = await self._process(), asyncio.get_running_loop().time()
        leased, renewed_s = self._leased
        if process != leased or now_s - renewed_s >= _RENEW_S:
            await self._leases.put_lease(MEMBERS, self._reporter_id, process, _LEASE_S)
            self._leased = process, now_s

    def _measure(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._growth.update(totals_of(self._meters), self._lag(), int(time.time()) // MINUTE_S, now_s)

    async def _process(self) -> PipelineProcess:
        notices = []
        for code, check in self._checks:
            try:
                await check()
            except AirnodeError as error:
                notices.append(Notice(code, error.detail, level="warning"))
        lag = {group: dict(topics) for group, topics in self._lag().items()}
        troubles = [each.text for each in notices]
        return PipelineProcess(self._role, self._node_name, self._growth.per_s(), lag, troubles, notices)

    async def _report_counts(self) -> None:
        while (report := self._report or self._growth.take()) is not None:
            self._report = report
            minute, counts, peaks = report
            names = [keys.pipeline_totals(), keys.pipeline_minute(minute), keys.pipeline_reported(self._reporter_id)]
            values = [*_flat(counts), *_flat(peaks)]
            with unavailable():
                await self._bus.client.eval(_ADD_REPORT, 3, *names, self._reported + 1, _KEPT_S, len(counts), *values)
            self._reported += 1
            self._report = None


def totals_of(meters: Iterable[ReportedMeter]) -> Counter[str]:
    """Return the counts of meters by field; meters with the same first half are added up."""
    totals: Counter[str] = Counter()
    for each in meters:
        for label, count in each.meter.totals_by(each.by).items():
            totals[f"{each.what}:{label}"] += count
    return totals


def _flat(counts: Counter[str]) -> Iterable[str | int]:
    for field, count in counts.items():
        yield from (field, count)
