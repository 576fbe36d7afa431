"""The ``[cluster]`` section of the configuration."""

from pydantic import Field, SecretStr

from airnode.config.sections.base import Section
from airnode.config.units import Seconds


class ClusterSection(Section):
    """How nodes find each other."""

    master_url: str = Field(
        default="", description="Address of a master, for slaves and for the pipeline's roles on other machines."
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="Credential with which nodes join, 32 characters or more, the same on all of them.",
    )
    pipeline_token: SecretStr = Field(
        default=SecretStr(""),
        description="Credential with which cache-workers, producers and consumers on other machines get to the embedded"
        " stores of a master, 32 characters or more, the same on the master and on them; opens the event "
        "log, the cache and the pipeline's tables, and nothing else.",
    )
    max_connections: int = Field(default=150, ge=1, description="Largest number of viewers on this node.")
    bandwidth_bps: int | None = Field(
        default=None, ge=1_000_000, description="Bandwidth for viewers of this node, in bit/s; unset: no limit."
    )
    heartbeat_s: Seconds = Field(default=2.0, gt=0, description="Time between two heartbeats.")
    lease_s: Seconds = Field(
        default=6.0, gt=0, description="A node counts as gone when its last heartbeat is older than this."
    )
    reservation_s: Seconds = Field(
        default=15.0,
        ge=1,
        le=300,
        description="How long a place that was issued with a token is reserved for its viewer.",
    )
    remember_s: Seconds = Field(
        default=3600.0, ge=0, description="How long a node that is gone is still listed as offline."
    )
    open_status: bool = Field(
        default=False,
        description="Anyone may read /cluster/nodes, /cluster/best-node and /cluster/streams; false: a teacher, an "
        "admin, or the cluster token.",
    )
