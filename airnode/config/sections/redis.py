"""``[redis]``: the one Redis."""

from pydantic import Field, SecretStr

from airnode.config.sections.base import Port, Section
from airnode.config.units import Seconds


class RedisSection(Section):
    """The one Redis."""

    url: str = Field(default="", description="redis://, rediss:// or unix:// address; empty: an embedded Valkey.")
    host: str = Field(default="", description="Host name, where no url is given.")
    port: Port = Field(default=6379, description="Port that goes with host.")
    password: SecretStr = Field(default=SecretStr(""), description="Password that goes with host or url.")
    connect_timeout_s: Seconds = Field(default=5.0, gt=0, description="Longest wait for a connection.")
    max_connections: int = Field(default=64, ge=2, description="Most connections in this process's pool.")
