"""The ``[mediamtx]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import HomePath, Seconds


class MediaMtxSection(Section):
    """MediaMTX, if media.engine is mediamtx. Its API, its HLS and its requests to airnode stay on loopback."""

    binary: HomePath | None = Field(
        default=None, description="The mediamtx program (1.18.1 or later); unset: the one on PATH."
    )
    api_url: str = Field(
        default="",
        description="API of a MediaMTX that is already running on this machine, such as http://127.0.0.1:9997, open to "
        "this machine without a password; airnode moves it to loopback while it uses it. Empty: airnode starts one.",
    )
    srt_port: Port = Field(default=8890, description="SRT port (UDP); 0: no SRT.")
    rtsp_port: Port = Field(default=8554, description="RTSP port (TCP only); 0: no RTSP.")
    webrtc_port: Port = Field(default=8889, description="WHIP port; 0: no WebRTC.")
    webrtc_udp_port: Port = Field(default=8189, ge=1, description="UDP port of WebRTC media.")
    rtmp_port: Port = Field(
        default=0, description="RTMP port of MediaMTX; 0: airnode's own RTMP server (rtmp.port) is the only one."
    )
    api_port: Port = Field(default=0, description="Loopback port of its API; 0: any free one.")
    hls_port: Port = Field(default=0, description="Loopback port of its HLS; 0: any free one.")
    poll_s: Seconds = Field(
        default=0.5, ge=0.1, le=5, description="Time between two requests for its list of publishers."
    )
    publish_timeout_s: Seconds = Field(
        default=10.0, gt=0, description="An accepted publisher must send media within this time."
    )
    request_timeout_s: Seconds = Field(default=5.0, gt=0, description="Longest wait for a response of its API.")
    start_timeout_s: Seconds = Field(
        default=30.0, gt=0, description="Longest wait for a MediaMTX started by airnode to answer."
    )
    stop_timeout_s: Seconds = Field(
        default=10.0, gt=0, description="Longest wait for a MediaMTX started by airnode to stop."
    )
    restart_after_s: Seconds = Field(
        default=30.0,
        ge=5,
        description="A MediaMTX started by airnode that does not answer for this long is restarted.",
    )
