"""The ``[postgres]`` section of the configuration."""

from pydantic import Field, SecretStr

from airnode.config.sections.base import Port, Section
from airnode.config.units import Seconds


class PostgresSection(Section):
    """PostgreSQL, the durable store."""

    url: str = Field(default="", description="postgresql:// address; empty: an embedded PostgreSQL.")
    host: str = Field(default="", description="Host name, where no url is given.")
    port: Port = Field(default=5432, description="Port of that host.")
    user: str = Field(default="airnode", description="User name, where no url is given.")
    password: SecretStr = Field(default=SecretStr(""), description="Password, for host and for a url without one.")
    database: str = Field(default="airnode", description="Database name, where no url is given.")
    connect_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest wait for a connection.")
    pool_max: int = Field(default=10, ge=1, description="Largest number of connections in this process's pool.")
