"""The MediaMTX engine by the node's settings, and where publishers go then."""

from collections.abc import Sequence
from pathlib import Path

from airnode.config.sections.http import HttpSection
from airnode.kernel.urls import url_host
from airnode.media.mediamtx.engine import EngineSettings, MediaMtxEngine
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublishAuthority
from airnode.runtime.context import RoleContext
from airnode.web.rate_limit import AttemptLimit, RateLimit


def make_engines(ctx: RoleContext, rooms: Rooms, authority: PublishAuthority) -> Sequence[MediaMtxEngine]:
    """The engine, where ``media.engine`` asks for it."""
    settings = ctx.settings
    if settings.media.engine != "mediamtx":
        return ()
    engine = MediaMtxEngine(
        EngineSettings(
            settings.mediamtx,
            settings.hls,
            settings.embedded,
            ctx.data_dir,
            settings.http.host,
            settings.node.host,
            _tls(settings.http),
        ),
        authority,
        rooms,
        ctx.registry,
        ctx.tasks("mediamtx"),
        wrong_keys=AttemptLimit(
            RateLimit(settings.auth.failure_rate_per_s, settings.auth.failure_burst),
            message="Too many wrong stream keys from your network; try again in a moment.",
        ),
    )
    return (engine,)


def _tls(section: HttpSection) -> tuple[Path, Path] | None:
    if section.tls_cert is None or section.tls_key is None:
        return None
    return section.tls_cert.expanduser().absolute(), section.tls_key.expanduser().absolute()


def endpoints(ctx: RoleContext) -> dict[str, object]:
    """Where publishers go beside RTMP, as far as airnode knows the ports."""
    section, host = ctx.settings.mediamtx, url_host(ctx.addresses.local_host)
    if ctx.settings.media.engine != "mediamtx" or section.api_url:
        return {}
    whip = "https" if ctx.settings.http.tls_cert is not None else "http"
    known = {
        "srt_server": f"srt://{host}:{section.srt_port}" if section.srt_port else None,
        "rtsp_server": f"rtsp://{host}:{section.rtsp_port}/live" if section.rtsp_port else None,
        "whip_server": f"{whip}://{host}:{section.webrtc_port}/live" if section.webrtc_port else None,
    }
    return {name: url for name, url in known.items() if url is not None}
