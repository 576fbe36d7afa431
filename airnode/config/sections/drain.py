"""``[drain]``: going down."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import Seconds


class DrainSection(Section):
    """Going down."""

    delay_s: Seconds = Field(default=0.5, ge=0, description="Between saying 'draining' and taking no new work.")
    timeout_s: Seconds = Field(default=8.0, ge=0, description="Longest wait for open work to end.")
    deadline_s: Seconds = Field(
        default=20.0, gt=0, description="The whole stop takes no longer than this (exit code 3)."
    )
