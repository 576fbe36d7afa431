"""What MediaMTX is told: its configuration file, or the part of it that a running one is changed to.

Names and values are those of MediaMTX 1.20 (mediamtx.yml). Viewers never come to it: HLS and API are on loopback, and
whoever wants to read is refused by airnode's hook, except airnode itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airnode.config.sections.hls import HlsSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.kernel.urls import host_port

#: The user as whom airnode asks MediaMTX's API; the hook gets it back with the secret.
API_USER = "airnode"
#: Publishers may use live/<key> or live/<room> and nothing else.
_PATHS = "~^live/[^/]+$"

Value = str | bool | int | list[str] | list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made at each start, kept in memory and in the configuration file (mode 600).

    Attributes:
        hook: a part of the hook's path. reader: with which airnode reads HLS and asks the API.
    """

    hook: str = field(repr=False)
    reader: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things listen.

    Attributes:
        host: of the publishers' ports. hook_url: of airnode's hook. public_host: for WebRTC, where it is known.
        tls: certificate and key for WHIP.
    """

    host: str
    hook_url: str
    api_port: int
    hls_port: int
    public_host: str = ""
    tls: tuple[Path, Path] | None = None


def shared(hls: HlsSection, hook_url: str, secrets: Secrets) -> dict[str, Value]:
    """What any MediaMTX that airnode reads from needs, whoever started it."""
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


def complete(section: MediaMtxSection, hls: HlsSection, places: Places, secrets: Secrets) -> dict[str, Value]:
    """The whole configuration of a MediaMTX that airnode starts, without its paths."""
    host, tls = places.host, places.tls
    found: dict[str, Value] = {
        "logLevel": "warn",
        "logDestinations": ["stdout"],
        **shared(hls, places.hook_url, secrets),
        # MediaMTX excludes its API from authentication unless told otherwise.
        "authHTTPExclude": [],
        "api": True,
        "apiAddress": f"127.0.0.1:{places.api_port}",
        "hlsAddress": f"127.0.0.1:{places.hls_port}",
        "metrics": False,
        "pprof": False,
        "playback": False,
        "rtmp": section.rtmp_port > 0,
        "rtsp": section.rtsp_port > 0,
        "srt": section.srt_port > 0,
        "webrtc": section.webrtc_port > 0,
    }
    if section.rtmp_port:
        found["rtmpAddress"] = _address(host, section.rtmp_port)
    if section.rtsp_port:
        found |= {"rtspAddress": _address(host, section.rtsp_port), "rtspTransports": ["tcp"]}
    if section.srt_port:
        found["srtAddress"] = _address(host, section.srt_port)
    if section.webrtc_port:
        found |= {
            "webrtcAddress": _address(host, section.webrtc_port),
            "webrtcLocalUDPAddress": _address(host, section.webrtc_udp_port),
            "webrtcAdditionalHosts": [places.public_host] if places.public_host else [],
        }
        if tls is not None:
            found |= {"webrtcEncryption": True, "webrtcServerCert": str(tls[0]), "webrtcServerKey": str(tls[1])}
    return found


def to_yaml(values: Mapping[str, Value]) -> str:
    """The file; each value is written as JSON, which is YAML too."""
    lines = ["# Written by airnode at each start; changes are lost."]
    lines += [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    lines += ["pathDefaults:", '  source: "publisher"', "  overridePublisher: true"]
    lines += ["paths:", f"  {json.dumps(_PATHS)}: {{}}", ""]
    return "\n".join(lines)


def differing(current: Mapping[str, object], wanted: Mapping[str, Value]) -> dict[str, Value]:
    """What of ``wanted`` a running MediaMTX is to be changed to."""
    return {name: value for name, value in wanted.items() if current.get(name) != value}


def is_loopback(address: str) -> bool:
    """Whether an address such as ``127.0.0.1:8888`` is reached from this machine alone."""
    return address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


def _duration(seconds: float) -> str:
    """As MediaMTX writes it, too: ``200ms``, ``1s``, ``1.5s``."""
    return f"{round(seconds * 1000)}ms" if seconds < 1 else f"{seconds:g}s"


def _address(host: str, port: int) -> str:
    """``:PORT`` listens on all addresses."""
    if host in ("", "0.0.0.0", "::"):
        return f":{port}"
    return host_port(host, port)
