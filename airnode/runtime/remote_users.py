"""The users of this node's embedded servers for roles on other machines: their names and passwords."""

import secrets
from collections.abc import Iterable
from pathlib import Path

from airnode.config.model import Settings
from airnode.embedded.network import NetworkAccess, RemoteUser
from airnode.kernel.access import RemoteAccess
from airnode.runtime.identity import kept_secrets

_ANY = "0.0.0.0"


def own_redis_password(data_dir: Path) -> str:
    """Return the password with which this process connects to its own Redis."""
    return _kept_password(data_dir, "redis_own_password")


def redis_network(settings: Settings, accesses: Iterable[RemoteAccess], data_dir: Path) -> NetworkAccess | None:
    """Return the users of the embedded Redis: one for each access whose token is set. None: no such access."""
    section = settings.embedded
    users = [
        RemoteUser(access, _kept_password(data_dir, f"redis_{access.name}_password"))
        for access in accesses
        if access.redis is not None and is_open(settings, access)
    ]
    return NetworkAccess(section.redis_host or settings.http.host or _ANY, section.redis_port, users) if users else None


def postgres_network(settings: Settings, accesses: Iterable[RemoteAccess], data_dir: Path) -> NetworkAccess | None:
    """Return the users of the embedded PostgreSQL, as :func:`redis_network` does for Redis."""
    section = settings.embedded
    users = [
        RemoteUser(access, _kept_password(data_dir, f"postgres_{access.name}_password"))
        for access in accesses
        if access.grants and is_open(settings, access)
    ]
    host = section.postgres_host or settings.http.host or _ANY
    return NetworkAccess(host, section.postgres_port, users) if users else None


def is_open(settings: Settings, access: RemoteAccess) -> bool:
    """Return whether roles may join with this access: its token is set."""
    return bool(settings.cluster.join_token(access.token.key))


def _kept_password(data_dir: Path, name: str) -> str:
    return kept_secrets(data_dir, {name: lambda: secrets.token_hex(32)})[name]
