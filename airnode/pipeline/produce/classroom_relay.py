"""The relay of what happened in classes: from the outbox in Redis to the topic ``classroom`` of the event log.

Any number of processes may run a relay, and the leader acts: it publishes the oldest entries and then deletes them. If
it dies in between, the next leader publishes them again, with the same event ids (:mod:`.classroom_facts`), so that
each fact lands once. An entry that cannot be read becomes a dead letter and holds nothing up.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis.exceptions import ResponseError

from airnode.bus import keys
from airnode.bus.client import Bus, unavailable
from airnode.bus.leader_election import Candidate, LeaderElection
from airnode.bus.leases import Leases
from airnode.errors import StartupError, TooLarge, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.meter import Meter
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.kernel.trouble import Trouble
from airnode.pipeline.event import CLASSROOM
from airnode.pipeline.keys import CLASSROOM_RELAY, CLASSROOM_RELAY_FIRST
from airnode.pipeline.metrics import ReportedMeter
from airnode.pipeline.produce.classroom_facts import UnreadableEntryError, events_of, unreadable_record
from airnode.store.eventlog.log import EventLog, Record

log = structlog.get_logger(__name__)

_LEASE_S = 5.0
_BATCH = 500
_BLOCK_MS = 2000
_CAMPAIGN_EVERY_S = 1.0
_MEASURE_EVERY_S = 2.0
_PATIENCE_S = 10.0
_RETRIED = (Unavailable, StartupError)

#: Deletes entries and counts those that were there. Keys: outbox, counter. Arguments: ids.
_DELETE = """
local deleted = 0
for first = 1, #ARGV, 100 do
    deleted = deleted + redis.call('XDEL', KEYS[1], unpack(ARGV, first, math.min(first + 99, #ARGV)))
end
redis.call('INCRBY', KEYS[2], deleted)
return deleted
"""

Entry = tuple[bytes, Mapping[bytes, bytes]]


class ClassroomRelayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.relayed = Meter(
            "airnode_classroom_relayed_total",
            "Facts of classes put on the event log.",
            ["topic", "event"],
            registry=registry,
        )
        self.reported = (ReportedMeter("produced", self.relayed),)
        self.unreadable = Counter(
            "airnode_classroom_unreadable_total", "Facts of classes that became dead letters.", registry=registry
        )
        self.waiting = Gauge(
            "airnode_classroom_lag_records",
            "Facts of classes that are not on the event log yet, as the leading relay sees them.",
            registry=registry,
        )
        self.oldest = Gauge(
            "airnode_classroom_outbox_oldest_seconds", "Age of the oldest of these facts.", registry=registry
        )
        self.dropped = Counter(
            "airnode_classroom_outbox_dropped_total",
            "Facts of classes that Redis dropped, because more than chat.outbox_entries waited.",
            registry=registry,
        )


class ClassroomRelay(Service):
    """Relays the outbox while it is the leader.

    Args:
        member: id of this candidate, another one in each process.
        topics: {topic: partitions} of topics that it makes again, should the log have lost them.
        yields: leads only while no relay runs that does not yield. So the topic is on the log of the consumers that
            somebody asked for, which may be Kafka, and not on that of the masters.
    """

    name = "classroom-relay"

    def __init__(
        self,
        bus: Bus,
        eventlog: EventLog,
        metrics: ClassroomRelayMetrics,
        tasks: TaskScope,
        *,
        member: str,
        node_name: str,
        topics: Mapping[str, int],
        lease_s: float = _LEASE_S,
        yields: bool = False,
    ) -> None:
        super().__init__()
        self._bus = bus
        self._eventlog = eventlog
        self._metrics = metrics
        self._tasks = tasks
        self._leases = Leases(bus)
        self._member = member
        self._me = Candidate(node_name)
        self._topics = topics
        self._lease_s = lease_s
        self._yields = yields
        self._election = LeaderElection(self._leases, CLASSROOM_RELAY, member, node_name, lease_s=lease_s)
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._measured_s = float("-inf")
        #: Dropped facts as last measured; None: not measured yet.
        self._dropped: int | None = None
        self.trouble = Trouble("classroom_not_relayed", "classroom_relayed_again")

    async def check(self) -> str | None:
        """Return a remark for ``/health``; raise Unavailable (503) while nothing can be relayed."""
        self.trouble.check()
        return "leads" if self._election.term is not None else f"waits; {self._election.leader or 'nobody'} leads"

    async def start(self) -> None:
        """Start to campaign and to relay."""
        self._tasks.spawn("campaign", self._campaign_loop())
        self._tasks.spawn("relay", self._relay_loop())

    async def drain(self) -> None:
        """Finish the current batch; the rest stays for the next leader."""
        self._draining = True
        await self._idle.wait()

    async def stop(self) -> None:
        """Stop, and let another process lead."""
        await self._tasks.aclose()
        try:
            await self._election.resign()
            if not self._yields:
                await self._leases.drop_lease(CLASSROOM_RELAY_FIRST, self._member)
        except Unavailable:
            return  # the lease ends by itself

    async def _campaign_loop(self) -> None:
        while True:
            try:
                await self._campaign()
            except Unavailable as error:
                self.trouble.begin(error, "campaign")
            else:
                self.trouble.end("campaign")
            await asyncio.sleep(_CAMPAIGN_EVERY_S)

    async def _campaign(self) -> None:
        if not self._yields:
            await self._leases.put_lease(CLASSROOM_RELAY_FIRST, self._member, self._me, self._lease_s)
        elif await self._leases.read_leases(CLASSROOM_RELAY_FIRST, Candidate):
            if self._election.term is not None:
                await self._election.resign()
                log.info("classroom_relay_yields")
            return
        await self._election.campaign()

    async def _relay_loop(self) -> None:
        backoff = Backoff()
        while not self._draining:
            if self._election.term is None:
                self._metrics.waiting.set(0)
                self.trouble.end()  # another relay leads, or the campaign says what is wrong
                await asyncio.sleep(_CAMPAIGN_EVERY_S / 4)
                continue
            try:
                if (entries := await self._oldest()) and self._may_publish:
                    self._idle.clear()
                    await self._relay(entries)
                await self._measure_if_due()
            except _RETRIED as error:
                self.trouble.begin(error)
                if isinstance(error, StartupError):
                    await self._make_lost_topics()
                self._idle.set()
                await backoff.pause()
                continue
            self._idle.set()
            backoff.reset()
            self.trouble.end()

    @property
    def _may_publish(self) -> bool:
        """Return whether this relay still leads: the wait for entries may outlast its term."""
        return self._election.term is not None and not self._draining

    async def _make_lost_topics(self) -> None:
        """Make the topics again that a Redis without its memory has lost; the class must not wait for an operator."""
        try:
            known = await self._eventlog.topics()
            await self._eventlog.ensure_topics({topic: n for topic, n in self._topics.items() if topic not in known})
        except _RETRIED as error:
            self.trouble.begin(error)

    async def _relay(self, entries: Sequence[Entry]) -> None:
        """Publish entries, and delete them from the outbox.

        Raises:
            Unavailable: the log or Redis does not answer; the entries stay in the outbox.
        """
        records = [record for _, fields in entries for record in self._records(fields)]
        await self._publish(records)
        with unavailable():
            ids = [entry_id for entry_id, _ in entries]
            await self._bus.client.eval(_DELETE, 2, keys.classroom_outbox(), keys.classroom_relayed(), *ids)
        for _, fields in entries:
            self._metrics.relayed.add(1, CLASSROOM, _label(fields))

    async def _oldest(self) -> list[Entry]:
        with unavailable():
            found: Any = await self._bus.client.xread({keys.classroom_outbox(): "0"}, count=_BATCH, block=_BLOCK_MS)
        return list(found[0][1]) if found else []

    def _records(self, fields: Mapping[bytes, bytes]) -> list[Record]:
        try:
            return [event.record() for event in events_of(fields)]
        except UnreadableEntryError as error:
            self._metrics.unreadable.inc()
            log.warning("classroom_fact_unreadable", detail=str(error), then="see it with: airnode dlq list")
            return [unreadable_record(fields, str(error))]

    async def _publish(self, records: Sequence[Record]) -> None:
        """Publish records. One that is too large for the log is shortened, and becomes a dead letter."""
        if not records:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._eventlog.publish(records)
        except TooLarge as error:
            if len(records) > 1:
                for record in records:
                    await self._publish([record])
                return
            log.warning("classroom_fact_too_large", detail=error.detail)
            fields = {b"room": records[0].key.encode(), b"data": records[0].value}
            await self._eventlog.publish([unreadable_record(fields, error.detail)])
        except TimeoutError as error:
            raise Unavailable(
                f"The event log has taken no facts of classes for {_PATIENCE_S:g} s: its readers are too far behind "
                "(see airnode pipeline groups), or it is slow.",
                debug=repr(error),
            ) from error

    async def _measure_if_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._measured_s < _MEASURE_EVERY_S:
            return
        self._measured_s = now_s
        found = await read_backlog(self._bus)
        self._metrics.waiting.set(found.waiting)
        self._metrics.oldest.set(found.oldest_s)
        if found.dropped > (known := found.dropped if self._dropped is None else self._dropped):
            self._metrics.dropped.inc(found.dropped - known)
            log.error(
                "classroom_facts_dropped",
                dropped=found.dropped,
                detail="the event log took nothing for too long; raise chat.outbox_entries, and see why it waits",
            )
        self._dropped = found.dropped


class Backlog:
    """What waits in the outbox.

    Attributes:
        oldest_s: age of the oldest fact; 0: none waits.
        dropped: facts that Redis dropped since its outbox exists.
    """

    def __init__(self, waiting: int, oldest_s: float, dropped: int) -> None:
        self.waiting = waiting
        self.oldest_s = oldest_s
        self.dropped = dropped


async def read_backlog(bus: Bus) -> Backlog:
    """Return what waits in the outbox. Raises Unavailable."""
    with unavailable():
        pipeline = bus.client.pipeline(transaction=False)
        pipeline.get(keys.classroom_relayed())
        pipeline.xinfo_stream(keys.classroom_outbox())
        count, info = await pipeline.execute(raise_on_error=False)
    if isinstance(info, ResponseError):  # nothing was ever written
        return Backlog(0, 0.0, 0)
    relayed = int(count or 0)
    waiting = int(info["length"])
    first = info.get("first-entry")
    written_ms = int(bytes(first[0]).partition(b"-")[0]) if first else 0
    added = int(info.get("entries-added", 0))  # missing before Redis 7
    return Backlog(
        waiting, max(0.0, time.time() - written_ms / 1000) if first else 0.0, max(0, added - waiting - relayed)
    )


def _label(fields: Mapping[bytes, bytes]) -> str:
    event = fields.get(b"event", b"").decode(errors="replace")
    return event if event.isidentifier() and len(event) <= 20 else "unknown"
