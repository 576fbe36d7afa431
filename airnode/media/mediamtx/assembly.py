"""Builds the MediaMTX engine from configuration sections, and lists the ports for publishers."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.config.sections.auth import AuthSection
from airnode.config.sections.hls import HlsSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.kernel.tasks import TaskScope
from airnode.media.mediamtx.engine import EngineSettings, MediaMtxEngine
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublishAuthority
from airnode.web.rate_limit import AttemptLimit, RateLimit


def engine_settings(
    mediamtx: MediaMtxSection,
    hls: HlsSection,
    http: HttpSection,
    *,
    data_dir: Path,
    public_host: str,
) -> EngineSettings:
    """Return the settings of the engine; WHIP uses the certificate of the HTTP port."""
    tls = None
    if http.tls_cert is not None and http.tls_key is not None:
        tls = http.tls_cert.expanduser().absolute(), http.tls_key.expanduser().absolute()
    return EngineSettings(mediamtx, hls, data_dir, http.host, public_host, tls)


def make_engine(
    settings: EngineSettings,
    auth: AuthSection,
    authority: PublishAuthority,
    rooms: Rooms,
    registry: CollectorRegistry,
    tasks: TaskScope,
) -> MediaMtxEngine:
    """Return the engine; the limits of ``auth`` apply to wrong stream keys, per network."""
    wrong_keys = AttemptLimit(
        RateLimit(auth.failure_rate_per_s, auth.failure_burst),
        message="Too many wrong stream keys from your network; try again in a moment.",
    )
    return MediaMtxEngine(settings, authority, rooms, registry, tasks, wrong_keys=wrong_keys)


def publish_ports(section: MediaMtxSection, *, has_tls: bool) -> dict[str, int]:
    """Return the ports for SRT, RTSP and WHIP, as :func:`airnode.web.addresses.publish_servers` takes them.

    airnode does not know the ports of a MediaMTX that it did not start (``mediamtx.api_url``).
    """
    if section.api_url:
        return {}
    ports = {"srt": section.srt_port, "rtsp": section.rtsp_port, "whips" if has_tls else "whip": section.webrtc_port}
    return {protocol: port for protocol, port in ports.items() if port}
