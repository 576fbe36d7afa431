"""The ``[drain]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import Seconds


class DrainSection(Section):
    """How a node stops."""

    delay_s: Seconds = Field(default=0.5, ge=0, description="Time between reporting 'draining' and refusing new work.")
    timeout_s: Seconds = Field(default=8.0, ge=0, description="Longest wait for open work to end.")
    deadline_s: Seconds = Field(
        default=20.0, gt=0, description="Longest time for the whole stop; the process then exits with code 3."
    )
