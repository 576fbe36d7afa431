"""The ``[browser]`` section of the configuration."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class BrowserSection(Section):
    """Publishers in a browser (the studio's "go live"), over a WebSocket on the media port."""

    hello_timeout_s: Seconds = Field(
        default=5.0, gt=0, description="Longest time between a connection and its first message, with the stream key."
    )
    publish_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest time to check a stream key.")
    idle_timeout_s: Seconds = Field(
        default=15.0, ge=1, description="A publisher that sends nothing for this long is disconnected."
    )
    ping_interval_s: Seconds = Field(
        default=20.0,
        ge=2,
        description="A silent publisher is pinged this often; without an answer within half of it, it is disconnected.",
    )
    max_connections: int = Field(
        default=64, ge=1, description="Largest number of publishing connections at once; further ones are refused."
    )
    max_undecided: int = Field(
        default=64,
        ge=1,
        description="Largest number of connections that have not shown a valid stream key yet; beyond it the oldest of "
        "them is closed.",
    )
    max_message_bytes: ByteSize = Field(
        default=8 << 20, ge=64 << 10, le=64 << 20, description="Largest message (one video frame)."
    )
    max_messages_per_s: int = Field(
        default=500, ge=50, description="Most messages a second from one publisher, on average over five seconds."
    )
    max_bitrate_bps: int = Field(
        default=50_000_000,
        ge=500_000,
        description="Most bits a second from one publisher, on average over five seconds.",
    )
    ack_interval_ms: int = Field(
        default=100,
        ge=20,
        le=1000,
        description="Received frames are acknowledged this often; browsers adapt their bit rate by it.",
    )
    key_frame_interval_s: Seconds = Field(
        default=2.0, ge=0.5, le=10, description="Browsers are told to send a key frame this often."
    )
    key_frame_request_s: Seconds = Field(
        default=1.0, ge=0.1, le=10, description="Least time between two requests for an additional key frame."
    )
    opus: Literal["aac", "pass"] = Field(
        default="aac",
        description="Sound of browsers without an AAC encoder: aac (converted on the origin, which needs the extra "
        "`media`; every player plays it), or pass (Opus as it is; older Apple devices do not play it).",
    )
    aac_bitrate_bps: int = Field(
        default=128_000, ge=32_000, le=320_000, description="Bit rate of sound that is converted to AAC."
    )
