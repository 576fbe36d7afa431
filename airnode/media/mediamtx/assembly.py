"""Build the MediaMTX engine from its sections and parts, and list the URLs that its publishers use."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from airnode.config.sections.auth import AuthSection
from airnode.config.sections.hls import HlsSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.kernel.tasks import TaskScope
from airnode.kernel.urls import url_host
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
    """Return what the engine needs; WHIP uses the certificate of the HTTP port."""
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
    """Return the engine; wrong stream keys are limited per network, by the limits of ``auth``."""
    wrong_keys = AttemptLimit(
        RateLimit(auth.failure_rate_per_s, auth.failure_burst),
        message="Too many wrong stream keys from your network; try again in a moment.",
    )
    return MediaMtxEngine(settings, authority, rooms, registry, tasks, wrong_keys=wrong_keys)


def publisher_urls(section: MediaMtxSection, local_host: str, *, has_tls: bool) -> dict[str, str]:
    """Return the URLs for SRT, RTSP and WHIP, as far as the ports are known.

    A MediaMTX that airnode did not start (``mediamtx.api_url``) has ports that airnode does not know.
    """
    if section.api_url:
        return {}
    host, whip_scheme = url_host(local_host), "https" if has_tls else "http"
    urls: dict[str, str] = {}
    if section.srt_port:
        urls["srt_server"] = f"srt://{host}:{section.srt_port}"
    if section.rtsp_port:
        urls["rtsp_server"] = f"rtsp://{host}:{section.rtsp_port}/live"
    if section.webrtc_port:
        urls["whip_server"] = f"{whip_scheme}://{host}:{section.webrtc_port}/live"
    return urls
