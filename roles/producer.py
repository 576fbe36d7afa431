"""The producer: generates events from the cache, and relays the events of database changes."""

from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.admin.stats_reporter import StatsReporter
from airnode.pipeline.cache.catalogue import Catalogue
from airnode.pipeline.cache.metrics import CatalogueMetrics
from airnode.pipeline.metrics import ProducerMetrics
from airnode.pipeline.preconditions import Preconditions
from airnode.pipeline.produce.outbox_relay import OutboxRelay
from airnode.pipeline.produce.producer import Producer
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.health import HealthCheck

_NAME = "producer"


def build(ctx: RoleContext) -> RoleParts:
    """Return the producer and the outbox relay. Neither waits for the other."""
    settings, metrics = ctx.settings, ProducerMetrics(ctx.registry)
    reading = CatalogueMetrics(ctx.registry)
    catalogue = Catalogue(ctx.bus, None, reading)
    relay = OutboxRelay(ctx.postgres, ctx.event_log, metrics, ctx.tasks("outbox-relay"))
    producer = Producer(ctx.event_log, catalogue, metrics, settings.pipeline.rate_per_s, ctx.tasks("producer"))
    preconditions = Preconditions(ctx.event_log, settings.eventlog.partitions)
    reporter = StatsReporter(
        ctx.bus,
        _NAME,
        ctx.identity,
        (*metrics.reported, *reading.reported),
        ctx.tasks("stats-reporter"),
        checks=(("not_produced", producer.check), ("outbox_waits", relay.check)),
    )
    return RoleParts(
        services=(
            preconditions,
            reporter,
            Ordered(catalogue, after=(reporter,)),
            Ordered(relay, after=(preconditions, reporter)),
            Ordered(producer, after=(preconditions, reporter, catalogue)),
        ),
        checks=(
            HealthCheck("producer", producer.check, critical=False),
            HealthCheck("outbox", relay.check, critical=False),
        ),
    )


ROLE = Role(
    name=_NAME,
    summary="makes orders and other events of what is in the cache; relays the outbox",
    build=build,
    access=PIPELINE_ACCESS,
    needs=frozenset({Resource.REDIS, Resource.POSTGRES, Resource.EVENT_LOG}),
    without={
        Resource.REDIS: "Nothing is made, as what is ordered comes out of the cache.",
        Resource.POSTGRES: "Events of changes in the database wait in its outbox; other events are made.",
        Resource.EVENT_LOG: "Nothing is put on the log. Events of changes in the database wait in its outbox.",
    },
)
