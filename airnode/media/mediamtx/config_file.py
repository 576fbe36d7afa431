"""MediaMTX's configuration: the whole file if airnode starts it, otherwise only the values that airnode changes.

Names and values are those of MediaMTX 1.20 (mediamtx.yml). Viewers never connect to it: HLS and the API listen on
loopback, and airnode's hook refuses every reader except airnode itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from airnode.config.sections.hls import HlsSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.kernel.urls import host_port

#: airnode's user name for MediaMTX's API. MediaMTX sends it to the hook, with the secret as the password.
API_USER = "airnode"
#: Publishers may only use live/<key> or live/<room>.
_PATHS = "~^live/[^/]+$"

#: The environment of a MediaMTX that airnode starts. Since 1.19, MoQ is on by default, with separate ports on all
#: addresses. The file does not switch it off, because earlier versions refuse unknown keys there. They ignore unknown
#: variables.
ENVIRONMENT = {"MTX_MOQ": "no"}

Value = str | bool | int | list[str] | list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class MediaMtxSecrets:
    """Secrets that are generated at each start, and kept in memory and in the configuration file (mode 600).

    Attributes:
        hook: a part of the hook's path. reader: airnode's secret for HLS and the API.
    """

    hook: str = field(repr=False)
    reader: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListenAddresses:
    """Addresses on which MediaMTX and the hook listen.

    Attributes:
        host: of the publishers' ports. hook_url: of airnode's hook.
        whip_port: on loopback, behind airnode's WHIP port.
        public_host: for WebRTC; empty: not known.
    """

    host: str
    hook_url: str
    api_port: int
    hls_port: int
    whip_port: int
    public_host: str = ""


def required_config(hls: HlsSection, hook_url: str, secrets: MediaMtxSecrets) -> dict[str, Value]:
    """Return the values that every MediaMTX must have, also one that airnode did not start."""
    return {
        "authMethod": "http",
        "authHTTPAddress": hook_url,
        "hls": True,
        "hlsAlwaysRemux": True,
        "hlsVariant": "lowLatency",
        "hlsSegmentCount": max(7, hls.segment_count),
        "hlsSegmentDuration": _duration(hls.segment_duration_s),
        "hlsPartDuration": _duration(hls.part_target_ms / 1000),
        "hlsSegmentMaxSize": f"{max(1, hls.segment_max_bytes >> 20)}M",
        "hlsCDNSecret": secrets.reader,
    }


def own_config(
    section: MediaMtxSection, hls: HlsSection, addresses: ListenAddresses, secrets: MediaMtxSecrets
) -> dict[str, Value]:
    """Return the whole configuration of a MediaMTX that airnode starts, without its paths."""
    host = addresses.host
    values: dict[str, Value] = {
        "logLevel": "warn",
        "logDestinations": ["stdout"],
        **required_config(hls, addresses.hook_url, secrets),
        # MediaMTX before 1.20 excludes its API from authentication by default.
        "authHTTPExclude": [],
        "api": True,
        "apiAddress": f"127.0.0.1:{addresses.api_port}",
        "hlsAddress": f"127.0.0.1:{addresses.hls_port}",
        "metrics": False,
        "pprof": False,
        "playback": False,
        "rtmp": section.rtmp_port > 0,
        "rtsp": section.rtsp_port > 0,
        "srt": section.srt_port > 0,
        "webrtc": section.webrtc_port > 0,
    }
    if section.rtmp_port:
        values["rtmpAddress"] = _address(host, section.rtmp_port)
    if section.rtsp_port:
        values |= {"rtspAddress": _address(host, section.rtsp_port), "rtspTransports": ["tcp"]}
    if section.srt_port:
        values["srtAddress"] = _address(host, section.srt_port)
    if section.webrtc_port:
        values |= {
            "webrtcAddress": f"127.0.0.1:{addresses.whip_port}",
            "webrtcTrustedProxies": ["127.0.0.1"],
            "webrtcLocalUDPAddress": _address(host, section.webrtc_udp_port),
            "webrtcAdditionalHosts": [addresses.public_host] if addresses.public_host else [],
        }
    return values


def to_yaml(values: Mapping[str, Value]) -> str:
    """Return the text of the file. Each value is written as JSON, which is also YAML."""
    lines = ["# Written by airnode at each start; changes are lost."]
    lines += [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    lines += ["pathDefaults:", '  source: "publisher"', "  overridePublisher: true"]
    lines += ["paths:", f"  {json.dumps(_PATHS)}: {{}}", ""]
    return "\n".join(lines)


def changed_values(current: Mapping[str, object], wanted: Mapping[str, Value]) -> dict[str, Value]:
    """Return the wanted values that differ from the current ones."""
    return {name: value for name, value in wanted.items() if current.get(name) != value}


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address such as ``127.0.0.1:8888``."""
    return address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


def _duration(seconds: float) -> str:
    """Return a duration in MediaMTX's own form: ``200ms``, ``1s``, ``1.5s``."""
    return f"{round(seconds * 1000)}ms" if seconds < 1 else f"{seconds:g}s"


def _address(host: str, port: int) -> str:
    """Return an address to listen on; ``:PORT`` means all addresses."""
    if host in ("", "0.0.0.0", "::"):
        return f":{port}"
    return host_port(host, port)
