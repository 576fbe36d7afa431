"""The ``[embedded]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import ByteSize, Seconds


class EmbeddedSection(Section):
    """The Valkey and the PostgreSQL that airnode runs itself if no address is configured."""

    postgres_user: str = Field(
        default="nobody", description="System user that runs PostgreSQL when airnode runs as root."
    )
    postgres_copies: int = Field(
        default=3,
        ge=1,
        description="Copies of PostgreSQL's binaries (about 40 MB each, in /var/cache/airnode) that are kept for this "
        "user where it cannot reach the installed ones; those used last, and all that run.",
    )
    start_timeout_s: Seconds = Field(default=30.0, gt=0, description="Longest wait for an embedded server to answer.")
    stop_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest wait for an embedded server to stop.")
    redis_maxmemory_bytes: ByteSize = Field(
        default=512 << 20, ge=8 << 20, description="Memory limit of the embedded Valkey."
    )
    redis_port: Port = Field(
        default=6390,
        description="TCP port of the embedded Valkey for slaves on other machines, open only where cluster.token is "
        "set; 0: any free one, which is kept for later starts.",
    )
    redis_host: str = Field(default="", description="Address that this port listens on; empty: the value of http.host.")
    postgres_port: Port = Field(
        default=6391,
        description="TCP port of the embedded PostgreSQL for the pipeline's roles on other machines, open only where "
        "cluster.pipeline_token is set; 0: any free one, which is kept for later starts.",
    )
    postgres_host: str = Field(
        default="", description="Address that this port listens on; empty: the value of http.host."
    )
    postgres_guests: int = Field(
        default=60,
        ge=1,
        le=90,
        description="Largest number of connections (of 100) for the pipeline's roles on other machines.",
    )
