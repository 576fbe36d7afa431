"""Where another node finds the Redis that this one uses."""

from urllib.parse import quote, urlsplit, urlunsplit

from airnode.config.sections.redis import RedisSection
from airnode.kernel.urls import host_port, url_host

_HERE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


def shared_url(section: RedisSection, host: str) -> str:
    """The configured Redis as a ``redis://`` address with its password.

    Args:
        host: under which the other node reached this machine; stands in for addresses that mean only this machine.

    Returns:
        Empty for a unix socket: it cannot be reached from elsewhere.
    """
    url = section.url or f"redis://{host_port(section.host, section.port)}"
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.hostname is None:
        return ""
    login, at, _ = parts.netloc.rpartition("@")
    password = section.password.get_secret_value()
    if password and not parts.password:
        login, at = f"{login.rstrip(':')}:{quote(password, safe='')}", "@"
    name = url_host(host if parts.hostname in _HERE else parts.hostname)
    port = f":{parts.port}" if parts.port is not None else ""
    return urlunsplit(parts._replace(netloc=f"{login}{at}{name}{port}"))
