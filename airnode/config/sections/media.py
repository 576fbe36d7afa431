"""The ``[media]`` section of the configuration."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import ByteSize, Seconds


class MediaSection(Section):
    """The media port, for students' players."""

    engine: Literal["builtin", "mediamtx"] = Field(
        default="builtin",
        description="Which server accepts publishers: builtin (RTMP), or mediamtx (SRT, RTSP and WHIP too, through a "
        "MediaMTX that is installed on this machine).",
    )
    port: Port = Field(default=8888, description="Port of the media (HLS) server; 0: any free one.")
    viewer_window_s: Seconds = Field(
        default=12.0,
        ge=5,
        le=60,
        description="A token session counts as a viewer until this long after its last playlist request.",
    )
    max_rooms: int = Field(
        default=64,
        ge=1,
        description="Largest number of rooms that are live at once on this node; further publishers are refused.",
    )
    fragment_ms: int = Field(
        default=0,
        ge=0,
        le=200,
        description="Shortest fragment of live.mp4; 0: one frame a fragment. Longer fragments add delay and save CPU.",
    )
    sound_wait_ms: int = Field(
        default=5,
        ge=0,
        le=100,
        description="Longest time that sound waits for the next picture, to be sent in one fragment with it. Pages are "
        "that much later, and a longer wait saves CPU: with 30 pictures a second there are 77 fragments a second at 0, "
        "70 at 5, 62 at 10, 50 at 20, 31 from 35 on.",
    )
    live_queue_bytes: ByteSize = Field(
        default=4 << 20,
        ge=256 << 10,
        description="Largest number of bytes of live.mp4 queued for one viewer; a viewer that exceeds it skips to a "
        "later key frame.",
    )
    live_queue_fragments: int = Field(
        default=300,
        ge=10,
        description="Largest number of fragments of live.mp4 queued for one viewer; beyond it the same happens.",
    )
    live_stuck_s: Seconds = Field(
        default=10.0, gt=0, description="A viewer of live.mp4 that reads nothing for this long is disconnected."
    )
