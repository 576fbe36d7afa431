"""The ``[log]`` section of the configuration."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Section


class LogSection(Section):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else JSON."
    )
