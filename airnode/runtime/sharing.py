"""What a node's embedded stores are to other machines: who gets in, with which password, under which address."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from airnode.config.model import Settings
from airnode.embedded.pg_network import GuestAccess
from airnode.embedded.valkey import NetworkAccess
from airnode.runtime.identity import kept_secrets

_ANY = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class PipelineUrls:
    """Addresses for a role of the pipeline on another machine, with its own user and password; empty: not to be shared.

    What the configuration names is not: its user may do more than the pipeline's roles should.
    """

    redis: str = ""
    postgres: str = ""


def valkey_access(settings: Settings, data_dir: Path) -> NetworkAccess | None:
    """Slaves get in where there is a cluster token to ask for, the pipeline's roles where there is theirs."""
    slaves = bool(settings.cluster.token.get_secret_value())
    pipeline = bool(settings.cluster.pipeline_token.get_secret_value())
    if not slaves and not pipeline:
        return None
    own = _made(data_dir, "redis_own_password")
    node = _made(data_dir, "redis_node_password") if slaves else ""
    guest = _made(data_dir, "redis_pipeline_password") if pipeline else ""
    host = settings.embedded.redis_host or settings.http.host or _ANY
    return NetworkAccess(host, settings.embedded.redis_port, own, node, guest)


def postgres_access(settings: Settings, data_dir: Path) -> GuestAccess | None:
    """Only the pipeline's roles get in."""
    if not settings.cluster.pipeline_token.get_secret_value():
        return None
    section = settings.embedded
    return GuestAccess(
        section.postgres_host or settings.http.host or _ANY,
        section.postgres_port,
        _made(data_dir, "postgres_pipeline_password"),
        section.postgres_guests,
    )


def _made(data_dir: Path, name: str) -> str:
    return kept_secrets(data_dir, {name: lambda: secrets.token_hex(32)})[name]
