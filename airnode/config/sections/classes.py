"""The ``[classes]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section


class ClassesSection(Section):
    """Classes and rooms."""

    default_room: str = Field(
        default="stream",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        json_schema_extra={"must": "must be 1 to 63 of a-z, 0-9, '-' and '_', and begin with a letter or digit"},
        description="Room of the class that exists from the first start on.",
    )
    max_classes: int = Field(default=10_000, ge=1, description="Largest number of classes.")
