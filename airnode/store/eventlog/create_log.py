"""Chooses the event log of a node: Kafka, or Redis Streams."""

from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.config.sections.eventlog import EventLogSection
from airnode.config.sections.kafka import KafkaSection
from airnode.store.eventlog.log import EventLog, EventLogMetrics


def uses_kafka(kafka: KafkaSection) -> bool:
    """Return whether the event log is on Kafka; otherwise it is in Redis."""
    return bool(kafka.bootstrap) if kafka.enabled is None else kafka.enabled


def create_event_log(kafka: KafkaSection, section: EventLogSection, bus: Bus, registry: CollectorRegistry) -> EventLog:
    """Return the event log, not started yet."""
    metrics = EventLogMetrics(registry)
    if uses_kafka(kafka):
        from airnode.store.eventlog.kafka_log import KafkaLog  # importing aiokafka takes time and memory

        return KafkaLog(kafka, section, metrics, connect_timeout_s=section.request_timeout_s)
    from airnode.store.eventlog.stream_log import StreamLog

    return StreamLog(bus, section, metrics)
