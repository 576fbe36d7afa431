"""The ``[eventlog]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class EventLogSection(Section):
    """The event log, on Kafka or on Redis Streams."""

    partitions: int = Field(
        default=3, ge=1, le=1000, description="Number of partitions of each topic that airnode creates."
    )
    max_record_bytes: ByteSize = Field(default=256 << 10, ge=1024, le=16 << 20, description="Largest record.")
    max_unsent_bytes: ByteSize = Field(
        default=16 << 20,
        ge=1 << 20,
        description="Largest number of published, unconfirmed bytes; when it is exceeded, publishing waits.",
    )
    session_timeout_s: Seconds = Field(
        default=10.0, ge=1, le=300, description="A consumer that sends no heartbeat for this long loses its partitions."
    )
    request_timeout_s: Seconds = Field(
        default=10.0, ge=1, le=300, description="Longest wait for a response of the log; publishing fails after it."
    )
    stream_max_records: int = Field(
        default=100_000,
        ge=1000,
        description="With Redis Streams: largest number of records in a partition that some group has not read; when it"
        " is exceeded, publishing waits.",
    )
