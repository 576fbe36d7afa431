"""The id of a node and the secrets that it generated, in its data directory."""

import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
from pydantic import SecretStr

from airnode.config.model import Settings
from airnode.config.sections.node import NodeSection
from airnode.errors import StartupError
from airnode.runtime.private_file import write_private

_SECRETS_FILE = "secrets.json"
#: {key of the auth section: function that makes the secret}, for the secrets that people sign in with.
_SIGN_IN_SECRETS: Mapping[str, Callable[[], str]] = {
    "teacher_secret": lambda: secrets.token_urlsafe(12),
    "admin_secret": lambda: secrets.token_urlsafe(24),
}


def node_id(data_dir: Path) -> str:
    """Return this node's id: generated once, kept in the file ``node_id``."""
    path = data_dir / "node_id"
    if path.is_file() and (text := path.read_text().strip()):
        return text
    made = f"node-{secrets.token_hex(4)}"
    write_private(path, made.encode() + b"\n")
    return made


def node_name(section: NodeSection) -> str:
    """Return the name of this node for people."""
    return section.name or socket.gethostname() or "airnode"


def with_own_secrets(settings: Settings, data_dir: Path) -> Settings:
    """Return the settings with a signing key, a teacher's and an admin's secret. Missing ones are generated.

    Raises:
        StartupError: ``secrets.json`` cannot be read.
    """
    return _filled_in(settings, data_dir, {"jwt_secret": lambda: secrets.token_hex(32), **_SIGN_IN_SECRETS})


def with_own_credentials(settings: Settings, data_dir: Path) -> Settings:
    """Return the settings with a teacher's and an admin's secret. No signing key is generated: all masters share one.

    Raises:
        StartupError: ``secrets.json`` cannot be read.
    """
    return _filled_in(settings, data_dir, _SIGN_IN_SECRETS)


def _filled_in(settings: Settings, data_dir: Path, makers: Mapping[str, Callable[[], str]]) -> Settings:
    auth = settings.auth
    missing = {key: maker for key, maker in makers.items() if not getattr(auth, key).get_secret_value()}
    if not missing:
        return settings
    made = kept_secrets(data_dir, missing)
    update = {key: SecretStr(made[key]) for key in missing}
    return settings.model_copy(update={"auth": auth.model_copy(update=update)})


def kept_secrets(data_dir: Path, makers: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Return the secrets of these names from ``secrets.json``. Missing ones are generated.

    Raises:
        StartupError: the file cannot be read.
    """
    path = data_dir / _SECRETS_FILE
    kept: dict[str, str] = {}
    if path.exists():
        try:
            kept = orjson.loads(path.read_bytes())
            if not all(isinstance(value, str) and value for value in kept.values()):
                raise ValueError("a value is no text, or empty")
        except (OSError, ValueError, AttributeError) as error:
            raise StartupError(f"{path} cannot be read ({error}); restore it, or remove it to make new keys.") from None
    made = {**{name: maker() for name, maker in makers.items() if name not in kept}, **kept}
    if made != kept:
        write_private(path, orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return made
