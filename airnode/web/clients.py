"""Who is asking, and under which address they reached us, also behind a reverse proxy."""

import ipaddress
from collections.abc import Sequence

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Clients:
    """Reads X-Forwarded-* from proxies that are trusted, and from nobody else.

    Args:
        trusted_proxies: networks in CIDR notation.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted: list[Network] = [ipaddress.ip_network(text, strict=False) for text in trusted_proxies]

    def address(self, request: web.Request) -> str:
        """The client's IP address: the last hop that is not a trusted proxy."""
        peer = request.remote or ""
        if not self._is_trusted(peer):
            return peer
        for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
            hop = hop.strip()
            if hop and not self._is_trusted(hop):
                return hop
        return peer

    def scheme(self, request: web.Request) -> str:
        """``http`` or ``https``, as the client sees it."""
        if self._is_trusted(request.remote or ""):
            forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
            if forwarded in ("http", "https"):
                return forwarded
        return request.scheme

    def hostname(self, request: web.Request) -> str:
        """The host the client typed, without port; IPv6 in brackets."""
        host = request.host
        if self._is_trusted(request.remote or ""):
            host = request.headers.get("X-Forwarded-Host", "").split(",")[0].strip() or host
        return strip_port(host)

    def host(self, request: web.Request) -> str:
        """The host the client typed, with its port if it had one."""
        if self._is_trusted(request.remote or ""):
            return request.headers.get("X-Forwarded-Host", "").split(",")[0].strip() or request.host
        return request.host

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)


def strip_port(host: str) -> str:
    """``example:8000`` -> ``example``; ``[::1]:8000`` -> ``[::1]``."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
