"""``[auth]``: tokens and credentials."""

from typing import Literal

from pydantic import Field, SecretStr

from airnode.config.sections.base import Section
from airnode.config.units import Seconds


class AuthSection(Section):
    """Tokens and credentials."""

    jwt_secret: SecretStr = Field(
        default=SecretStr(""), description="Key that signs tokens (HS256), 32 characters or more; standalone makes one."
    )
    teacher_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Credential that teachers give for a token; empty: a node with its own PostgreSQL makes one.",
    )
    admin_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Credential that changes the cluster (drain, remove), beside cluster.token; "
        "empty: a node with its own PostgreSQL makes one.",
    )
    student_join: Literal["code", "open", "closed"] = Field(
        default="code", description="Students need the class code (code), nothing (open), or cannot join (closed)."
    )
    token_ttl_s: Seconds = Field(default=14400.0, ge=60, le=604800, description="How long a token is good for.")
    token_rate_per_s: float = Field(default=50.0, gt=0, description="Token requests a second from one address.")
    token_burst: int = Field(
        default=1000, ge=1, description="Token requests at once from one address (a whole school)."
    )
    failure_rate_per_s: float = Field(
        default=1.0, gt=0, description="Wrong codes or secrets a second from one address."
    )
    failure_burst: int = Field(default=60, ge=1, description="Wrong codes or secrets at once from one address.")
