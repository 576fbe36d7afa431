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
    student_id_ttl_s: Seconds = Field(
        default=15_552_000.0,
        ge=3600,
        description="How long a browser or app keeps the signed identity of a student; each token renews it.",
    )
    own_ids: Literal["first", "trusted"] = Field(
        default="first",
        description="A user_id that a student's client gives itself belongs to whoever came with it first (first): "
        "others get a signed id of their own. Or clients are believed (trusted): only where another system asks for "
        "the tokens of its students.",
    )
    max_name_chars: int = Field(
        default=40, ge=4, le=64, description="Longest name that people may give themselves, in characters."
    )
    max_names: int = Field(
        default=5_000,
        ge=100,
        le=100_000,
        description="Names that are remembered of each class, so that two people of one name are told apart.",
    )
    reserved_names: tuple[str, ...] = Field(
        default=("선생님", "선생", "teacher", "관리자", "운영자", "admin", "airnode"),
        description="Words that students' names must not look like, not be among their words, and not begin or end "
        "with; the names of a class's teachers always count.",
    )
    default_name: str = Field(
        default="Student", min_length=1, max_length=40, description="Name of students whose client sends none."
    )
    api_keys: bool = Field(
        default=True,
        description="Programs may use API keys, which `airnode keys` makes and revokes; false: no key opens anything.",
    )
    api_key_rate_per_s: float = Field(
        default=10.0,
        gt=0,
        description="Requests allowed per second with one API key, on average, and ten times as many at once; a key "
        "can have a limit of its own.",
    )
    api_key_daily_minutes: float = Field(
        default=600.0,
        ge=0,
        description="Minutes of audio that one API key may send on a day (UTC); a key can have a limit of its own.",
    )
