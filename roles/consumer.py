"""The consumer: reads events from the log and inserts them into PostgreSQL.

It always lands what happened in classes, and brings it to the log. Every master includes a consumer for this; one that
nobody asked for lands nothing else.
"""

import uuid

from airnode.config.model import Settings
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.admin.overview import CLASS_RECORD
from airnode.pipeline.admin.stats_reporter import StatsReporter
from airnode.pipeline.consume import dead_letters
from airnode.pipeline.consume.lag_watch import LagWatch
from airnode.pipeline.consume.member import ConsumerMember
from airnode.pipeline.consume.sinks import DeadLetterSink, EventSink, Sink
from airnode.pipeline.event import CLASSROOM
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.pipeline.preconditions import Preconditions, wanted_topics
from airnode.pipeline.produce.classroom_relay import ClassroomRelay, ClassroomRelayMetrics
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.health import HealthCheck

_NAME = "consumer"


def build(ctx: RoleContext) -> RoleParts:
    """Return one member per consumer group, the relay of classes, the lag watch and the stats reporter."""
    settings, metrics = ctx.settings, ConsumerMetrics(ctx.registry)
    only_classes = ctx.implied
    groups = _classroom_group() if only_classes else _groups(settings) | _classroom_group()
    members = [
        _member(ctx, EventSink(ctx.postgres, ctx.event_log, metrics, group), metrics, topics, group)
        for group, topics in groups.items()
    ]
    members.append(_member(ctx, DeadLetterSink(ctx.postgres), metrics, (dead_letters.TOPIC,), dead_letters.GROUP))
    watch = LagWatch(ctx.event_log, groups, metrics, stuck_s=settings.pipeline.stuck_s, tasks=ctx.tasks("lag-watch"))
    preconditions = Preconditions(ctx.event_log, settings.eventlog.partitions, ctx.postgres, only_classes=only_classes)
    relay_metrics = ClassroomRelayMetrics(ctx.registry)
    relay = _relay(ctx, relay_metrics)
    reporter = StatsReporter(
        ctx.bus,
        CLASS_RECORD if only_classes else _NAME,
        ctx.identity,
        () if only_classes else (*metrics.reported, *relay_metrics.reported),
        ctx.tasks("stats-reporter"),
        lag=lambda: watch.lag,
        checks=(
            *(("not_landed", member.check) for member in members),
            ("stuck", watch.check),
            ("classroom_waits", relay.check),
        ),
    )
    return RoleParts(
        services=(
            preconditions,
            reporter,
            *(Ordered(member, after=(preconditions, reporter)) for member in members),
            Ordered(relay, after=(preconditions, reporter)),
            Ordered(watch, after=(preconditions,)),
        ),
        checks=(
            *(HealthCheck(member.name, member.check, critical=False) for member in members),
            HealthCheck("lag", watch.check, critical=False),
            HealthCheck(relay.name, relay.check, critical=False),
        ),
    )


def _classroom_group() -> dict[str, tuple[str, ...]]:
    return {f"{CLASSROOM}_group": (CLASSROOM,)}


def _groups(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the groups of the pipeline's own topics, {group: topics}."""
    section = settings.pipeline
    if section.group:
        return {section.group: tuple(section.topics)}
    return {f"{topic}_group": (topic,) for topic in section.topics}


def _relay(ctx: RoleContext, metrics: ClassroomRelayMetrics) -> ClassroomRelay:
    return ClassroomRelay(
        ctx.bus,
        ctx.event_log,
        metrics,
        ctx.tasks("classroom-relay"),
        member=uuid.uuid4().hex,
        node_name=ctx.identity.node_name,
        topics=wanted_topics(ctx.settings.eventlog.partitions),
        yields=ctx.implied,
    )


def _member(
    ctx: RoleContext, sink: Sink, metrics: ConsumerMetrics, topics: tuple[str, ...], group: str
) -> ConsumerMember:
    return ConsumerMember(
        ctx.event_log,
        sink,
        ctx.settings.pipeline,
        metrics,
        topics,
        group,
        settle_s=ctx.settings.eventlog.session_timeout_s / 2,
        tasks=ctx.tasks(f"member-{group}"),
    )


ROLE = Role(
    name=_NAME,
    summary="lands events of the log in PostgreSQL, each once",
    build=build,
    access=PIPELINE_ACCESS,
    needs=frozenset({Resource.REDIS, Resource.POSTGRES, Resource.EVENT_LOG}),
    without={
        Resource.REDIS: "What is counted here gets to the admin page later.",
        Resource.POSTGRES: "Nothing lands; events wait on the log.",
        Resource.EVENT_LOG: "Nothing is read of the log, so nothing new lands.",
    },
)
