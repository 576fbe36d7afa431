"""Hosts and ports in URLs."""


def url_host(host: str) -> str:
    """Return ``host`` for a URL: an IPv6 address gets brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def host_port(host: str, port: int) -> str:
    """Return ``host:port`` with an IPv6 address in brackets."""
    return f"{url_host(host)}:{port}"
