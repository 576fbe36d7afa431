"""The class record for tests: facts in the outbox, a relay, a consumer that lands them, and rows to look at."""

import contextlib
import itertools
import json
import uuid
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from airnode.bus import keys
from airnode.bus.client import Bus
from airnode.bus.subscription import BusMetrics
from airnode.config.sections.pipeline import PipelineSection
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection
from airnode.kernel.tasks import TaskScope
from airnode.pipeline.consume import dead_letters
from airnode.pipeline.consume.member import ConsumerMember
from airnode.pipeline.consume.sinks import DeadLetterSink, EventSink
from airnode.pipeline.event import CLASSROOM
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.pipeline.preconditions import ensure_topics, wanted_topics
from airnode.pipeline.produce.classroom_relay import ClassroomRelay, ClassroomRelayMetrics
from airnode.store.eventlog.log import EventLog
from airnode.store.migrate import migrate
from airnode.store.postgres import Postgres
from tests.support.eventlog import LogRig
from tests.support.waiting import eventually

ANN = {"id": "ann", "name": "앤", "role": "student"}
BOB = {"id": "bob", "name": "=cmd|'/c calc'!A1", "role": "student"}
TEACHER = {"id": "kim", "name": "김선생", "role": "teacher"}
AT_MS = 1_764_500_000_000
LEASE_S = 0.6


class Outbox:
    """Writes facts as the chat's scripts do (tests of the chat write them with the real scripts)."""

    def __init__(self, bus: Bus, room: str, epoch: str = "e1") -> None:
        self._bus = bus
        self.room = room
        self.epoch = epoch
        self._offsets = itertools.count(1)

    async def add(self, event: str, data: dict, *, user: Any = ANN, at_ms: int = AT_MS, offset: int = 0, **more) -> int:
        """Append a fact and return its offset."""
        offset = offset or next(self._offsets)
        fields = {
            "room": self.room,
            "epoch": self.epoch,
            "offset": str(offset),
            "event": event,
            "user": json.dumps(user),
            "at_ms": str(at_ms),
            "data": json.dumps(data, ensure_ascii=False),
        } | more
        await self._bus.client.xadd(keys.classroom_outbox(), fields)
        return offset

    async def message(self, message_id: str, content: str, *, user: dict = ANN, at_ms: int = AT_MS) -> int:
        data = {"user": user, "content": content, "type": "text"}
        return await self.add("message", data, user=user, at_ms=at_ms, id=message_id)

    async def session(self, started_ms: int, ended_ms: int | None = None) -> str:
        """Write a session that began, and ended if ``ended_ms`` is given; return its id."""
        session_id = str(uuid.uuid4())
        body = {"session_id": session_id, "started_at": started_ms}
        await self.add("session_started", body, user="", at_ms=started_ms)
        if ended_ms is not None:
            await self.add("session_ended", body | {"ended_at": ended_ms}, user="", at_ms=ended_ms)
        return session_id

    async def attended(self, session_id: str, user: dict, joined_ms: int, left_ms: int, kind: str = "media") -> None:
        body = {
            "interval_id": str(uuid.uuid4()),
            "session_id": session_id,
            "user": user,
            "kind": kind,
            "joined_at": joined_ms,
            "left_at": left_ms,
        }
        await self.add("attendance", body, user="", at_ms=left_ms)


class ClassroomRig:
    """A bus, a log, a database with the schema; relays and consumers that a test starts and stops."""

    def __init__(self, logs: LogRig, redis_url: str, postgres_url: str) -> None:
        self.logs = logs
        self.registry = CollectorRegistry()
        self.bus = Bus(RedisSection(url=redis_url), BusMetrics(self.registry))
        self.postgres = Postgres(PostgresSection(url=postgres_url))
        self.metrics = ConsumerMetrics(self.registry)
        self.stack = contextlib.AsyncExitStack()
        #: A topic of Kafka is shared by all tests; a new room has records of this test only.
        self.room = f"room-{uuid.uuid4().hex[:8]}"
        self.group = f"classroom-{uuid.uuid4().hex[:8]}"
        self.outbox = Outbox(self.bus, self.room)

    async def open(self) -> "ClassroomRig":
        await self.bus.start()
        self.stack.push_async_callback(self.bus.stop)
        await self.postgres.start()
        self.stack.push_async_callback(self.postgres.stop)
        await migrate(self.postgres)
        self.log = await self.logs.open()
        await ensure_topics(self.log, 3)
        return self

    async def relay(
        self,
        log: EventLog | None = None,
        registry: CollectorRegistry | None = None,
        lease_s: float = LEASE_S,
        *,
        yields: bool = False,
    ) -> ClassroomRelay:
        """Return a started relay; it is stopped at the end."""
        relay = ClassroomRelay(
            self.bus,
            log or self.log,
            ClassroomRelayMetrics(registry or CollectorRegistry()),
            TaskScope("relay"),
            member=uuid.uuid4().hex,
            node_name="n",
            topics=wanted_topics(3),
            lease_s=lease_s,
            yields=yields,
        )
        await relay.start()
        self.stack.push_async_callback(relay.stop)
        return relay

    async def consumer(self, *, letters: bool = False) -> ConsumerMember:
        """Return a started consumer of the topic (or of dead letters); it is stopped at the end."""
        sink = DeadLetterSink(self.postgres) if letters else EventSink(self.postgres, self.log, self.metrics, "g")
        member = ConsumerMember(
            self.log,
            sink,
            PipelineSection(batch_wait_s=0.02),
            self.metrics,
            (dead_letters.TOPIC if letters else CLASSROOM,),
            f"{self.group}-letters" if letters else self.group,
            settle_s=1,
            tasks=TaskScope("consumer"),
        )
        await member.start()
        self.stack.push_async_callback(member.stop)
        return member

    async def rows(self, table: str, columns: str = "*", order: str = "1") -> list[tuple]:
        """Return the room's rows."""
        query = f"SELECT {columns} FROM classroom.{table} WHERE room = $1 ORDER BY {order}"
        return [tuple(row) for row in await self.postgres.fetch(query, self.room)]

    async def until(self, table: str, expected: Sequence[tuple], columns: str = "*", order: str = "1") -> None:
        """Wait until the room's rows are the expected ones."""

        async def there() -> bool:
            return await self.rows(table, columns, order) == list(expected)

        try:
            await eventually(there, 30)
        except AssertionError:
            assert await self.rows(table, columns, order) == list(expected)
            raise

    async def emptied(self) -> None:
        """Wait until the outbox is empty."""

        async def empty() -> bool:
            return not await self.bus.client.xlen(keys.classroom_outbox())

        await eventually(empty, 30)
