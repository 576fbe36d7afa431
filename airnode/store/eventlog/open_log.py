"""Which event log a node has."""

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.config.model import Settings
from airnode.store.eventlog.log import EventLog
from airnode.store.eventlog.metrics import EventLogMetrics


def on_kafka(settings: Settings) -> bool:
    """Whether the event log is on Kafka; otherwise it is in the Redis."""
    enabled = settings.kafka.enabled
    return bool(settings.kafka.bootstrap) if enabled is None else enabled


def event_log(settings: Settings, bus: Bus, registry: CollectorRegistry) -> EventLog:
    """The node's event log, not started yet. aiokafka is imported only where it is used."""
    metrics = EventLogMetrics(registry)
    if on_kafka(settings):
        from airnode.store.eventlog.kafka import KafkaLog

        timeout_s = settings.eventlog.request_timeout_s
        return KafkaLog(settings.kafka, settings.eventlog, metrics, connect_timeout_s=timeout_s)
    from airnode.store.eventlog.streams import StreamLog

    return StreamLog(bus, settings.eventlog, metrics)
