"""The ``[cluster]`` section of the configuration."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SecretStr, create_model

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

    @classmethod
    def join_token_keys(cls) -> list[str]:
        """Return the keys that hold a credential for joining."""
        return [name for name, info in cls.model_fields.items() if info.annotation is SecretStr]

    def join_token(self, key: str) -> str:
        """Return the credential at this key; empty: it is not set, or no installed role declares it."""
        secret: SecretStr | None = getattr(self, key, None)
        return secret.get_secret_value() if secret is not None else ""


def with_join_tokens(tokens: Mapping[str, str]) -> type[ClusterSection]:
    """Return the section with a key for each join token that it does not have yet.

    Args:
        tokens: {key: description}.
    """
    fields: dict[str, Any] = {
        key: (SecretStr, Field(default=SecretStr(""), description=description))
        for key, description in tokens.items()
        if key not in ClusterSection.model_fields
    }
    if not fields:
        return ClusterSection
    return create_model("ClusterSection", __base__=ClusterSection, __doc__=ClusterSection.__doc__, **fields)
