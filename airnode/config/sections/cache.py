"""The ``[cache]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import Seconds


class CacheSection(Section):
    """The cache of users and products."""

    refresh_interval_s: Seconds = Field(default=50.0, ge=0.1, description="Time between two refreshes.")
    batch_size: int = Field(
        default=1000, ge=2, le=100_000, description="Number of users, and of products, in the cache."
    )
    new_data_ratio: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of the newest rows in the cache (0 to 1); all older rows take turns in the rest.",
    )
