"""``[media]``: the media port: what students' players fetch."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import ByteSize, Seconds


class MediaSection(Section):
    """The media port: what students' players fetch."""

    engine: Literal["builtin", "mediamtx"] = Field(
        default="builtin",
        description="What takes publishers: builtin (RTMP), or mediamtx (SRT, RTSP and WHIP too, through a MediaMTX "
        "that is installed on this machine).",
    )
    port: Port = Field(default=8888, description="Port of the media (HLS) server; 0: any free one.")
    viewer_window_s: Seconds = Field(
        default=12.0,
        ge=5,
        le=60,
        description="A token session counts as a viewer this long after its last playlist request.",
    )
    max_rooms: int = Field(
        default=64, ge=1, description="Most rooms live at once on this node; more publishers are refused."
    )
    fragment_ms: int = Field(
        default=0,
        ge=0,
        le=200,
        description="Least length of a fragment of live.mp4; 0: every frame at once. More costs delay and saves CPU.",
    )
    live_queue_bytes: ByteSize = Field(
        default=4 << 20,
        ge=256 << 10,
        description="Most bytes of live.mp4 that wait for one viewer; beyond, it is moved on to a later key frame.",
    )
    live_queue_fragments: int = Field(
        default=150, ge=10, description="Most fragments of live.mp4 that wait for one viewer; beyond, the same."
    )
    live_stuck_s: Seconds = Field(
        default=10.0, gt=0, description="A viewer of live.mp4 that takes nothing for this long is dropped."
    )
