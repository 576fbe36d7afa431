"""``[rtmp]``: RTMP ingest: what OBS and ffmpeg publish to."""

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import ByteSize, HomePath, Seconds


class RtmpSection(Section):
    """RTMP ingest: what OBS and ffmpeg publish to."""

    port: Port = Field(default=1935, description="RTMP port; 0: any free one.")
    tls_port: Port | None = Field(default=None, description="RTMPS port; unset: no RTMPS.")
    tls_cert: HomePath | None = Field(default=None, description="PEM certificate chain for RTMPS.")
    tls_key: HomePath | None = Field(default=None, description="PEM private key for RTMPS.")
    open_publishing: bool = Field(
        default=False,
        description="Anyone may publish to rtmp://host/live/<room> without a key. Only for a network you trust.",
    )
    handshake_timeout_s: Seconds = Field(
        default=5.0, gt=0, description="A connection must finish the handshake within this."
    )
    publish_timeout_s: Seconds = Field(
        default=10.0, gt=0, description="...and publish within this after the handshake."
    )
    idle_timeout_s: Seconds = Field(
        default=30.0, gt=0, description="A publisher that sends nothing for this long is dropped."
    )
    takeover_after_s: Seconds = Field(
        default=2.0,
        ge=0,
        description="A second publisher with the same key takes over once the first was silent this long.",
    )
    max_connections: int = Field(
        default=64, ge=1, description="Most RTMP connections at once; further ones are closed."
    )
    max_message_bytes: ByteSize = Field(
        default=8 << 20, ge=64 << 10, le=(1 << 24) - 1, description="Largest RTMP message (one video frame)."
    )
    max_chunk_size_bytes: ByteSize = Field(
        default=(1 << 24) - 1, ge=128, le=(1 << 24) - 1, description="Largest chunk size a publisher may set."
    )
    max_chunk_streams: int = Field(default=64, ge=4, description="Most chunk streams in one connection.")
    max_streams: int = Field(default=8, ge=1, description="Most message streams (createStream) in one connection.")
    max_amf_depth: int = Field(default=16, ge=2, description="Deepest nesting of an AMF0 value.")
    max_amf_items: int = Field(default=1024, ge=16, description="Most properties and elements in one AMF0 message.")
