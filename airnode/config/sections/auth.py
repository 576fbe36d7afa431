"""The ``[auth]`` section of the configuration."""

from typing import Literal

from pydantic import Field, SecretStr

from airnode.config.sections.base import Section
from airnode.config.units import Seconds


class AuthSection(Section):
    """Tokens and credentials."""

    jwt_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Key that signs tokens (HS256), 32 characters or more; standalone generates one.",
    )
    teacher_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret that teachers sign in with; empty: a node with its own PostgreSQL generates one.",
    )
    admin_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Secret that administrators sign in with; empty: a node with its own PostgreSQL generates one.",
    )
    student_join: Literal["code", "open", "closed"] = Field(
        default="code", description="Students need the class code (code), nothing (open), or cannot join (closed)."
    )
    token_ttl_s: Seconds = Field(default=14400.0, ge=60, le=604800, description="How long a token is valid.")
    token_rate_per_s: float = Field(
        default=50.0, gt=0, description="Token requests allowed per second and client address, on average."
    )
    token_burst: int = Field(
        default=1000,
        ge=1,
        description="Token requests allowed at once from one client address (a whole school may share one).",
    )
    failure_rate_per_s: float = Field(
        default=1.0, gt=0, description="Wrong codes or secrets allowed per second and client address, on average."
    )
    failure_burst: int = Field(
        default=60, ge=1, description="Wrong codes or secrets allowed at once from one client address."
    )
