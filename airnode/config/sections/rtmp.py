"""The ``[rtmp]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import ByteSize, HomePath, Seconds


class RtmpSection(Section):
    """RTMP ingest, for OBS and ffmpeg."""

    port: Port = Field(default=1935, description="RTMP port; 0: any free one.")
    tls_port: Port | None = Field(default=None, description="RTMPS port; unset: no RTMPS.")
    tls_cert: HomePath | None = Field(default=None, description="PEM certificate chain for RTMPS.")
    tls_key: HomePath | None = Field(default=None, description="PEM private key for RTMPS.")
    open_publishing: bool = Field(
        default=False,
        description="Anyone may publish to rtmp://host/live/<room> without a key. Only for a network you trust.",
    )
    handshake_timeout_s: Seconds = Field(
        default=5.0, gt=0, description="Longest time for a connection to finish the RTMP handshake."
    )
    publish_timeout_s: Seconds = Field(
        default=10.0,
        gt=0,
        description="Longest time between the end of the RTMP handshake and the start of publishing.",
    )
    idle_timeout_s: Seconds = Field(
        default=30.0, gt=0, description="A publisher that sends nothing for this long is disconnected."
    )
    takeover_after_s: Seconds = Field(
        default=2.0,
        ge=0,
        description="A second publisher with the same key takes over when the first has sent nothing for this long.",
    )
    max_connections: int = Field(
        default=64, ge=1, description="Largest number of RTMP connections at once; further ones are closed."
    )
    max_message_bytes: ByteSize = Field(
        default=8 << 20, ge=64 << 10, le=(1 << 24) - 1, description="Largest RTMP message (one video frame)."
    )
    max_chunk_size_bytes: ByteSize = Field(
        default=(1 << 31) - 1,
        ge=128,
        le=(1 << 31) - 1,
        description="Largest chunk size a publisher may set. It costs no memory: a chunk ends with its message.",
    )
    max_chunk_streams: int = Field(default=64, ge=4, description="Largest number of chunk streams in one connection.")
    max_streams: int = Field(
        default=8, ge=1, description="Largest number of message streams (createStream) in one connection."
    )
    max_amf_depth: int = Field(default=16, ge=2, description="Deepest nesting of an AMF0 value.")
    max_amf_items: int = Field(
        default=1024, ge=16, description="Largest number of properties and elements in one AMF0 message."
    )
