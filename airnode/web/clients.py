"""The client's address, and the host that it typed, also behind a reverse proxy."""

import ipaddress
import re
from collections.abc import Sequence

from aiohttp import web

from airnode.kernel.urls import host_port

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Host and port (RFC 9110 section 7.2), without characters that host names do not need; answers contain it in URLs.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


class Clients:
    """Reads X-Forwarded-* from trusted proxies only.

    Args:
        trusted_proxies: networks in CIDR notation.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted: list[Network] = [ipaddress.ip_network(text, strict=False) for text in trusted_proxies]

    def address(self, request: web.Request) -> str:
        """Return the client's IP address: the last hop that is not a trusted proxy."""
        peer = request.remote or ""
        if not self._is_trusted(peer):
            return peer
        # A proxy may add a header of its own behind the client's, instead of a hop to it.
        for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
            hop = hop.strip()
            if hop and not self._is_trusted(hop):
                return hop
        return peer

    def scheme(self, request: web.Request) -> str:
        """Return ``http`` or ``https``, as the client sees it."""
        if self._is_trusted(request.remote or ""):
            forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
            if forwarded in ("http", "https"):
                return forwarded
        return request.scheme

    def hostname(self, request: web.Request) -> str:
        """Return the host that the client typed, without port; IPv6 in brackets."""
        return strip_port(self.host(request))

    def host(self, request: web.Request) -> str:
        """Return the host that the client typed, with its port if it had one. If that is no valid host, return the
        address that the connection came in on.
        """
        names = [request.headers.get("Host", "")]
        if self._is_trusted(request.remote or ""):
            names.insert(0, request.headers.get("X-Forwarded-Host", "").split(",")[0].strip())
        return next((host for host in names if _HOST.fullmatch(host)), None) or _local_host(request)

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)


def strip_port(host: str) -> str:
    """Return ``example`` for ``example:8000``, and ``[::1]`` for ``[::1]:8000``."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _local_host(request: web.Request) -> str:
    """Return the address and port of our end of the connection."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(name, tuple):
        return "localhost"
    return host_port(name[0], name[1])
