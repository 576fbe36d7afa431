"""The ``[kafka]`` section of the configuration."""

from typing import Literal

from pydantic import Field, SecretStr

from airnode.config.sections.base import Section
from airnode.config.units import HomePath


class KafkaSection(Section):
    """Kafka as the event log; without it the event log uses Redis Streams."""

    enabled: bool | None = Field(
        default=None, description="Use Kafka as the event log; unset: where bootstrap names brokers."
    )
    bootstrap: tuple[str, ...] = Field(default=(), description="Brokers to begin with, as host:port.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Security protocol of the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism, for SASL_PLAINTEXT and SASL_SSL."
    )
    sasl_username: str = Field(default="", description="User name, for SASL_PLAINTEXT and SASL_SSL.")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="Password of sasl_username.")
    tls_ca: HomePath | None = Field(
        default=None,
        description="PEM file of the brokers' certificate authorities; unset: the system's.",
    )
    tls_cert: HomePath | None = Field(
        default=None, description="PEM client certificate chain, for brokers that require one."
    )
    tls_key: HomePath | None = Field(default=None, description="PEM private key of tls_cert, unencrypted.")
    replication_factor: int = Field(
        default=0,
        ge=0,
        le=32767,
        description="Replication factor of topics that airnode creates; 0: 3, or as many as there are brokers.",
    )
