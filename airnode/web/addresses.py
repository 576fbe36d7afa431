"""The addresses under which viewers, teachers and encoders reach this node."""

import enum
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from airnode.kernel.urls import url_host


class PortName(enum.StrEnum):
    """The HTTP ports of a node."""

    HTTP = "http"
    MEDIA = "media"


def lan_address() -> str | None:
    """Return this machine's address on the network, None without one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737: a datagram socket only picks its route
            address: str = sock.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith(("127.", "0.")) else address


def is_loopback(hostname: str) -> bool:
    """Return whether ``hostname`` is only this machine."""
    if hostname == "localhost" or hostname.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(hostname.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Addresses:
    """The node's own addresses.

    Attributes:
        host: the configured name (``node.host``); empty: the name that the client used.
        listens_on: the address all ports listen on.
        ports: {port: number} of those that are bound.
    """

    host: str
    listens_on: str
    tls: bool
    ports: Mapping[PortName, int] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """Return ``http`` or ``https``."""
        return "https" if self.tls else "http"

    @property
    def local_host(self) -> str:
        """Return the host for clients on this machine."""
        if self.host:
            return url_host(self.host)
        if self.listens_on in ("", "0.0.0.0", "::", "127.0.0.1", "::1"):
            return "localhost" if self.listens_on != "::1" else "[::1]"
        return url_host(self.listens_on)

    @property
    def network_host(self) -> str | None:
        """Return the host for others on the local network; None: they cannot reach this node."""
        if self.host:
            return url_host(self.host)
        if self.listens_on in ("", "0.0.0.0", "::"):
            return lan_address()
        return None if is_loopback(self.listens_on) else url_host(self.listens_on)

    def url(self, port: PortName, host: str | None = None) -> str:
        """Return the base URL of one of the ports."""
        return f"{self.scheme}://{host or self.local_host}:{self.ports[port]}"


def publish_servers(host: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the servers for publishers by other protocols than RTMP: ``srt_server``, ``rtsp_server``, ``whip_server``.

    Args:
        ports: {protocol: port} of ``srt``, ``rtsp`` and ``whip``, or ``whips`` for WHIP over HTTPS.
    """
    host = url_host(host)
    servers: dict[str, str] = {}
    if "srt" in ports:
        servers["srt_server"] = f"srt://{host}:{ports['srt']}"
    if "rtsp" in ports:
        servers["rtsp_server"] = f"rtsp://{host}:{ports['rtsp']}/live"
    for protocol, scheme in (("whip", "http"), ("whips", "https")):
        if protocol in ports:
            servers["whip_server"] = f"{scheme}://{host}:{ports[protocol]}/live"
    return servers


def publish_urls(servers: Mapping[str, object], key: str) -> dict[str, str]:
    """Return the addresses to publish to with a stream key: ``srt_url``, ``rtsp_url`` and ``whip_url``."""
    urls: dict[str, str] = {}
    if "srt_server" in servers:
        urls["srt_url"] = f"{servers['srt_server']}?streamid=publish:live/{key}&pkt_size=1316"
    if "rtsp_server" in servers:
        urls["rtsp_url"] = f"{servers['rtsp_server']}/{key}"
    if "whip_server" in servers:
        urls["whip_url"] = f"{servers['whip_server']}/{key}/whip"
    return urls


def rtmp_server(host: str, port: int) -> str:
    """Return the RTMP server address for the settings of an encoder."""
    return f"rtmp://{host}/live" if port == 1935 else f"rtmp://{host}:{port}/live"
