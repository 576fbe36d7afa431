"""The ``[recording]`` section of the configuration."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, HomePath, Seconds


class RecordingSection(Section):
    """Recordings of classes, on the disk of the node that receives the publisher."""

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
        description="Students may download recordings as MP4; false: they can only watch them. Slaves use the master's "
        "value.",
    )
    max_age_s: Seconds | None = Field(
        default=None,
        ge=1,
        description="Recordings that ended longer ago than this are removed; unset: none is removed by age.",
    )
    max_bytes: ByteSize | None = Field(
        default=None,
        ge=1 << 20,
        description="Largest total size of this node's recordings; when it is exceeded the oldest are removed; unset: "
        "no limit.",
    )
    min_free_bytes: ByteSize = Field(
        default=1 << 30,
        ge=0,
        description="Recording stops, with an alarm, while its disk has less free space than this.",
    )
    queue_bytes: ByteSize = Field(
        default=64 << 20,
        ge=1 << 20,
        description="Largest number of bytes that wait to be written; when it is exceeded, segments are left out of the"
        " recording.",
    )
    sync_s: Seconds = Field(
        default=10.0,
        gt=0,
        description="How often written data is flushed to the disk (fsync), and at the end of a recording: a power cut "
        "can lose this much.",
    )
    download_gap_s: Seconds = Field(
        default=20.0, gt=0, description="A player that reads nothing of a recording for this long is disconnected."
    )
