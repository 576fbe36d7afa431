"""``[postgres]``: the durable store."""

from pydantic import Field, SecretStr

from airnode.config.sections.base import Port, Section
from airnode.config.units import Seconds


class PostgresSection(Section):
    """The durable store."""

    url: str = Field(default="", description="postgresql:// address; empty: an embedded PostgreSQL.")
    host: str = Field(default="", description="Host name, where no url is given.")
    port: Port = Field(default=5432, description="Port that goes with host.")
    user: str = Field(default="airnode", description="User that goes with host.")
    password: SecretStr = Field(default=SecretStr(""), description="Password that goes with host or url.")
    database: str = Field(default="airnode", description="Database that goes with host.")
    connect_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest wait for a connection.")
    pool_max: int = Field(default=10, ge=1, description="Most connections in this process's pool.")
