"""The consumer: takes events off the log and lands them in PostgreSQL."""

from airnode.config.model import Settings
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.admin.stats_reporter import Source, StatsReporter
from airnode.pipeline.consume import dead_letters
from airnode.pipeline.consume.lag_watch import LagWatch
from airnode.pipeline.consume.member import ConsumerMember
from airnode.pipeline.consume.sinks import DeadLetterSink, EventSink, Sink
from airnode.pipeline.metrics import ConsumerMetrics
from airnode.pipeline.preconditions import Preconditions
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.health import HealthCheck

_NAME = "consumer"


def build(ctx: RoleContext) -> RoleParts:
    """One member a consumer group."""
    settings, metrics = ctx.settings, ConsumerMetrics(ctx.registry)
    groups = groups_of(settings)
    lanes = [
        _lane(ctx, EventSink(ctx.postgres, ctx.event_log, metrics, group), metrics, topics, group)
        for group, topics in groups.items()
    ]
    lanes.append(_lane(ctx, DeadLetterSink(ctx.postgres), metrics, (dead_letters.TOPIC,), dead_letters.GROUP))
    watch = LagWatch(ctx.event_log, groups, metrics, stuck_s=settings.pipeline.stuck_s, tasks=ctx.tasks("lag-watch"))
    ground = Preconditions(ctx.event_log, settings.eventlog.partitions, ctx.postgres)
    tally = StatsReporter(
        ctx.bus,
        _NAME,
        ctx.identity,
        (Source("landed", metrics.landed, "topic"), Source("dead", metrics.dead, "topic")),
        ctx.tasks("tally"),
        lag=lambda: watch.lag,
        checks=(*(("not_landed", lane.check) for lane in lanes), ("stuck", watch.check)),
    )
    return RoleParts(
        services=(
            ground,
            tally,
            *(Ordered(lane, after=(ground, tally)) for lane in lanes),
            Ordered(watch, after=(ground,)),
        ),
        checks=(
            *(HealthCheck(lane.name, lane.check, critical=False) for lane in lanes),
            HealthCheck("lag", watch.check, critical=False),
        ),
    )


def groups_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return what the consumer's members read: {group: topics}."""
    section = settings.pipeline
    if section.group:
        return {section.group: tuple(section.topics)}
    return {f"{topic}_group": (topic,) for topic in section.topics}


def _lane(
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
        tasks=ctx.tasks(f"lane-{group}"),
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
