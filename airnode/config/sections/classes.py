"""The ``[classes]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import Seconds

_YEAR_S = 366 * 24 * 3600.0


class ClassesSection(Section):
    """Classes and rooms, and the record of what happened in them."""

    default_room: str = Field(
        default="stream",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        json_schema_extra={"must": "must be 1 to 63 of a-z, 0-9, '-' and '_', and begin with a letter or digit"},
        description="Room of the class that exists from the first start on.",
    )
    max_classes: int = Field(default=10_000, ge=1, description="Largest number of classes.")
    record_max_age_s: Seconds = Field(
        default=_YEAR_S,
        ge=0,
        description="Class records (attendance, chat, questions, polls, hands) are deleted when they are older than "
        "this; 0: they are kept.",
    )
    session_gap_s: Seconds = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="A class that goes on within this time after it stopped is one class in its record.",
    )
    attendance_beat_s: Seconds = Field(
        default=10.0,
        ge=0.2,
        le=300,
        description="Time between two reports of a node about who is in its classes; a node that dies loses at most "
        "this much of the attendance.",
    )
