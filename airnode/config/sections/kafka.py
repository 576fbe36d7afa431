"""``[kafka]``: kafka, where there is one; without it the event log is kept in the Redis."""

from typing import Literal

from pydantic import Field, SecretStr

from airnode.config.sections.base import Section
from airnode.config.units import HomePath


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
