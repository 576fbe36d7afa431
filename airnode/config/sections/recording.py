"""``[recording]``: recordings of classes, on the disk of the node that takes the publisher."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, HomePath, Seconds


class RecordingSection(Section):
    """Recordings of classes, on the disk of the node that takes the publisher."""

    mode: Literal["off", "all", "on-request"] = Field(
        default="on-request",
        description="off: nothing is recorded; all: every class, from its start; on-request: when its teacher asks. "
        "Slaves take the master's.",
    )
    dir: HomePath | None = Field(
        default=None, description="Directory for recordings; unset: 'recordings' in node.data_dir."
    )
    student_download: bool = Field(
        default=True,
        description="Students may download recordings as MP4; false: they only watch them. Slaves take the master's.",
    )
    max_age_s: Seconds | None = Field(
        default=None, ge=1, description="Recordings that ended so long ago are removed; unset: none."
    )
    max_bytes: ByteSize | None = Field(
        default=None,
        ge=1 << 20,
        description="Most bytes of this node's recordings: the oldest are removed beyond it; unset: no limit.",
    )
    min_free_bytes: ByteSize = Field(
        default=1 << 30, ge=0, description="Recording stops, with an alarm, while less than this is free on its disk."
    )
    queue_bytes: ByteSize = Field(
        default=64 << 20,
        ge=1 << 20,
        description="Most bytes that wait for the disk; beyond, segments are left out of the recording.",
    )
    sync_s: Seconds = Field(
        default=10.0,
        gt=0,
        description="What was written is forced onto the disk this often, and at the end: what a power cut can cost.",
    )
    download_gap_s: Seconds = Field(
        default=20.0, gt=0, description="A player that takes nothing of a recording for this long is dropped."
    )
