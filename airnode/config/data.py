"""The sections of the data pipeline: Kafka, the event log, the cache, producers and consumers."""

from typing import Literal

from pydantic import Field, SecretStr

from airnode.config.base import Section
from airnode.config.units import ByteSize, HomePath, Seconds


class KafkaSection(Section):
    """Kafka, where there is one; without it the event log is kept in the Redis."""

    enabled: bool | None = Field(
        default=None, description="Use Kafka as the event log; unset: where bootstrap names brokers."
    )
    bootstrap: tuple[str, ...] = Field(default=(), description="Brokers to begin with, as host:port.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How the brokers are spoken to."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How airnode signs in, with SASL_*."
    )
    sasl_username: str = Field(default="", description="User that signs in, with SASL_*.")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="Password of that user.")
    tls_ca: HomePath | None = Field(
        default=None, description="PEM certificates that the brokers' are checked against; unset: the system's."
    )
    tls_cert: HomePath | None = Field(
        default=None, description="PEM certificate chain that the brokers know us by, where they ask for one."
    )
    tls_key: HomePath | None = Field(default=None, description="PEM private key of tls_cert, unencrypted.")
    replication_factor: int = Field(
        default=0, ge=0, le=32767, description="Copies of each partition of topics made here; 0: 3, or all brokers."
    )


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


class CacheSection(Section):
    """The cache of users and products."""

    refresh_interval_s: Seconds = Field(default=50.0, ge=0.1, description="Time between two refreshes.")
    batch_size: int = Field(default=1000, ge=2, le=100_000, description="Users, and products, in the cache at once.")
    new_data_ratio: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of them that are the newest; the others take turns, so that every one comes up.",
    )


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
