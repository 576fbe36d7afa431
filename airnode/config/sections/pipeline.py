"""The ``[pipeline]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class PipelineSection(Section):
    """The data pipeline: producers publish events, consumers insert them into PostgreSQL."""

    rate_per_s: float = Field(
        default=10.0, ge=0, description="Events per second that a producer publishes; 0: as many as possible."
    )
    topics: tuple[str, ...] = Field(
        default=("users", "products", "orders"),
        description="Topics that a consumer reads; it always reads classroom, too.",
    )
    group: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        json_schema_extra={"must": "must be at most 200 of letters, digits, '.', '_' and '-'"},
        description="Consumer group of these topics; empty: users_group, products_group and orders_group, each for its "
        "topic.",
    )
    batch_records: int = Field(
        default=1000, ge=1, le=50_000, description="Largest number of events in one transaction."
    )
    batch_wait_s: Seconds = Field(
        default=0.1, ge=0, le=60, description="Longest wait for more events before a transaction is written."
    )
    buffer_records: int = Field(
        default=10_000,
        ge=100,
        description="Largest number of events that wait in a consumer; it stops fetching when the buffer is full.",
    )
    buffer_bytes: ByteSize = Field(
        default=64 << 20,
        ge=1 << 20,
        description="Largest number of bytes that wait in a consumer; a fetch that has already begun is added to it.",
    )
    stuck_s: Seconds = Field(
        default=60.0,
        gt=0,
        description="A partition with lag whose committed position does not move for this long raises an alarm.",
    )
