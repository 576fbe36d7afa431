"""``[pipeline]``: orders and other events: made by producers, put into PostgreSQL by consumers."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class PipelineSection(Section):
    """Orders and other events: made by producers, put into PostgreSQL by consumers."""

    rate_per_s: float = Field(default=10.0, ge=0, description="Events a second that a producer makes; 0: all it can.")
    topics: tuple[str, ...] = Field(
        default=("users", "products", "orders"), description="Topics that a consumer reads."
    )
    group: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        json_schema_extra={"must": "must be at most 200 of letters, digits, '.', '_' and '-'"},
        description="Consumer group; empty: users_group, products_group and orders_group, each for its topic.",
    )
    batch_records: int = Field(default=1000, ge=1, le=50_000, description="Most events written in one transaction.")
    batch_wait_s: Seconds = Field(default=0.1, ge=0, le=60, description="Longest wait for more events to write.")
    buffer_records: int = Field(
        default=10_000, ge=100, description="Events that wait in a consumer; beyond, it stops fetching."
    )
    buffer_bytes: ByteSize = Field(
        default=64 << 20, ge=1 << 20, description="The same in bytes; what was being fetched comes on top."
    )
    stuck_s: Seconds = Field(
        default=60.0, gt=0, description="A partition with lag whose position stands still this long is an alarm."
    )
