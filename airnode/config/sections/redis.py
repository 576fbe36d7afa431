"""The ``[redis]`` section of the configuration."""

from pydantic import Field, SecretStr

from airnode.config.sections.base import Port, Section
from airnode.config.units import Seconds


class RedisSection(Section):
    """The Redis that all nodes share."""

    url: str = Field(default="", description="redis://, rediss:// or unix:// address; empty: an embedded Valkey.")
    host: str = Field(default="", description="Host name, where no url is given.")
    port: Port = Field(default=6379, description="Port of that host.")
    password: SecretStr = Field(default=SecretStr(""), description="Password, for host and for a url without one.")
    connect_timeout_s: Seconds = Field(default=5.0, gt=0, description="Longest wait for a connection.")
    max_connections: int = Field(default=64, ge=2, description="Largest number of connections in this process's pool.")
