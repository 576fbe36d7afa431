"""What all processes of the pipeline count together, told to the Redis once a second, for the admin page.

A process's counters are its own and begin at 0 with it; here their growth is added up::

    airnode:pipeline:{pipeline}:totals            {"produced:orders": 81200, "landed:orders": 81187, "dead:orders": 3}
    airnode:pipeline:{pipeline}:minute:29921640   {"produced:orders": 601, "reads:hit": 1180, "peak:<group>:orders": 4}
    lease pipeline-members                        {"<process>": {"role": "consumer", "per_s": {"landed:orders": 9.8}}}

A report that may or may not have come to the Redis is told again, and counts once. What a process that is killed
counted in its last second is missing here; the database has the truth.
"""

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import prometheus_client
import structlog

from airnode.bus.client import Bus, unavailable
from airnode.bus.leases import Leases
from airnode.bus.messages import Notice
from airnode.errors import AirnodeError, Unavailable
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.pipeline import keys
from airnode.web.health import Identity

log = structlog.get_logger(__name__)

MEMBERS = "pipeline-members"
MINUTE_S = 60
_REPORT_EVERY_S = 1.0
_LEASE_S = 5.0
_LEAVE_TIMEOUT_S = 3.0
_RATE_OVER_S = 5.0
_KEPT_S = 2 * 3600
#: Minutes that wait to be told while the Redis is away; older ones are then told as one.
_WAITING_MAX = 120

# Keys: totals, minute, told. Arguments: number of the report, seconds a minute is kept, number of counts, then
# {field, count}…, {field, peak}….
_TELL = """
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

#: {field such as ``produced:orders``: so much so far, in this process}.
Counts = Mapping[str, float]


class Member(msgspec.Struct, frozen=True):
    """A process that lives, in one of its roles.

    Attributes:
        per_s: {field: a second, over the last five}.
        lag: {group: {topic: records}}, as this process sees it.
        troubles: what keeps it from working, in words; notices: the same with codes.
    """

    role: str
    node_name: str
    per_s: dict[str, float]
    lag: dict[str, dict[str, int]]
    troubles: list[str]
    notices: list[Notice] = []


@dataclass(frozen=True, slots=True)
class Source:
    """A counter to be told of.

    Attributes:
        what: first half of the field; label: whose value is the other half.
    """

    what: str
    counter: prometheus_client.Counter
    label: str


class Meter:
    """Makes reports of what counters say. No I/O; time is passed in."""

    def __init__(self) -> None:
        self._before: Counter[str] = Counter()
        #: (seconds, counts) of the last seconds, for rates.
        self._lately: deque[tuple[float, Counter[str]]] = deque()
        #: {minute: what is still to be told of it}, the oldest first.
        self._waiting: dict[int, tuple[Counter[str], Counter[str]]] = {}

    def look(self, counts: Counts, lag: Mapping[str, Mapping[str, int]], minute: int, now_s: float) -> None:
        """Take a look at the counters, in a minute of the wall clock, at ``now_s`` of a clock that never goes back."""
        seen: Counter[str] = Counter({field: int(count) for field, count in counts.items()})
        grown, peaks = self._waiting.setdefault(minute, (Counter(), Counter()))
        grown.update(seen - self._before)
        for group, topics in lag.items():
            for topic, records in topics.items():
                field = f"peak:{group}:{topic}"
                peaks[field] = max(peaks[field], records)
        self._before = seen
        self._lately.append((now_s, seen))
        while len(self._lately) > 2 and self._lately[1][0] <= now_s - _RATE_OVER_S:
            self._lately.popleft()
        while len(self._waiting) > _WAITING_MAX:
            oldest, next_oldest = sorted(self._waiting)[:2]
            self._waiting[next_oldest][0].update(self._waiting.pop(oldest)[0])

    def per_s(self) -> dict[str, float]:
        """{field: growth a second} over the last seconds; nothing that stood still."""
        (first_s, first), (last_s, last) = self._lately[0], self._lately[-1]
        grown = last - first
        length_s = max(last_s - first_s, 0.001)
        return {field: round(count / length_s, 2) for field, count in grown.items()}

    def take(self) -> tuple[int, Counter[str], Counter[str]] | None:
        """(minute, counts, peaks) of the oldest minute that is still to be told; None: all is told."""
        while self._waiting:
            minute = min(self._waiting)
            counts, peaks = self._waiting.pop(minute)
            if counts or peaks:
                return minute, counts, peaks
        return None


class StatsReporter(Service):
    """Tells once a second what this process counted, and that it is there.

    Args:
        role: what this process does here.
        lag: asked for what it knows of its groups, {group: {topic: records}}.
        checks: (code, health check); what they raise is told as trouble, with the code.
    """

    name = "tally"

    def __init__(
        self,
        bus: Bus,
        role: str,
        identity: Identity,
        sources: Sequence[Source],
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
        #: Other than the node's id in each life of the process, as its reports are numbered from 1.
        self._teller = f"{identity.node_id}/{role}/{secrets.token_hex(4)}"
        self._sources = sources
        self._tasks = tasks
        self._lag = lag
        self._checks = checks
        self._meter = Meter()
        self._told = 0
        #: The report under way; it stays the same until it is known to have come.
        self._report: tuple[int, Counter[str], Counter[str]] | None = None

    async def start(self) -> None:
        """Begin to tell."""
        self._look()
        self._tasks.spawn("tell", self._report_loop())

    async def stop(self) -> None:
        """Tell the rest, and that this process is gone."""
        await self._tasks.aclose()
        self._look()
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._tell_counts()
                await self._leases.drop_lease(MEMBERS, self._teller)
        except (Unavailable, TimeoutError) as error:
            log.debug("tally_not_told", error=repr(error))

    async def _report_loop(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self._look()
            try:
                await self._leases.put_lease(MEMBERS, self._teller, await self._member(), _LEASE_S)
                await self._tell_counts()
            except Unavailable as error:
                log.debug("tally_not_told", error=error.debug)

    def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._meter.look(counted(self._sources), self._lag(), int(time.time()) // MINUTE_S, now_s)

    async def _member(self) -> Member:
        notices = []
        for code, check in self._checks:
            try:
                await check()
            except AirnodeError as error:
                notices.append(Notice(code, error.detail))
        lag = {group: dict(topics) for group, topics in self._lag().items()}
        troubles = [each.text for each in notices]
        return Member(self._role, self._node_name, self._meter.per_s(), lag, troubles, notices)

    async def _tell_counts(self) -> None:
        while (report := self._report or self._meter.take()) is not None:
            self._report = report
            minute, counts, peaks = report
            names = [keys.pipeline_totals(), keys.pipeline_minute(minute), keys.pipeline_reported(self._teller)]
            values = [*_flat(counts), *_flat(peaks)]
            with unavailable():
                await self._bus.client.eval(_TELL, 3, *names, self._told + 1, _KEPT_S, len(counts), *values)
            self._told += 1
            self._report = None


def counted(sources: Iterable[Source]) -> Counter[str]:
    """What counters say now, by field."""
    found: Counter[str] = Counter()
    for source in sources:
        for metric in source.counter.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    found[f"{source.what}:{sample.labels[source.label]}"] += int(sample.value)
    return found


def _flat(counts: Counter[str]) -> Iterable[str | int]:
    for field, count in counts.items():
        yield from (field, count)
