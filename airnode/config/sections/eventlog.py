"""``[eventlog]``: the event log, on Kafka or in the Redis."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class EventLogSection(Section):
    """The event log, on Kafka or in the Redis."""

    partitions: int = Field(default=3, ge=1, le=1000, description="Partitions of each topic that is made.")
    max_record_bytes: ByteSize = Field(default=256 << 10, ge=1024, le=16 << 20, description="Largest record.")
    max_unsent_bytes: ByteSize = Field(
        default=16 << 20, ge=1 << 20, description="Most bytes on their way to the log; beyond, publishing waits."
    )
    session_timeout_s: Seconds = Field(
        default=10.0, ge=1, le=300, description="A consumer that is silent for this long loses its partitions."
    )
    request_timeout_s: Seconds = Field(
        default=10.0, ge=1, le=300, description="The log must answer within this; publishing fails beyond it."
    )
    stream_max_records: int = Field(
        default=100_000,
        ge=1000,
        description="In the Redis: records of a partition that some group has not read; beyond, publishing waits.",
    )
