"""What a node keeps about itself in its data directory: its id, and the secrets that it made itself."""

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
from pydantic import SecretStr

from airnode.config.model import Settings
from airnode.config.sections.node import NodeSection
from airnode.errors import StartupError

_SECRETS_FILE = "secrets.json"
#: {key of the auth section: what people sign in with}
_PEOPLE: Mapping[str, Callable[[], str]] = {
    "teacher_secret": lambda: secrets.token_urlsafe(12),
    "admin_secret": lambda: secrets.token_urlsafe(24),
}


def node_id(data_dir: Path) -> str:
    """This node's id: made once, kept in ``node_id``."""
    path = data_dir / "node_id"
    if path.is_file() and (text := path.read_text().strip()):
        return text
    made = f"node-{secrets.token_hex(4)}"
    write_private(path, made.encode() + b"\n")
    return made


def node_name(section: NodeSection) -> str:
    """The name people see."""
    return section.name or socket.gethostname() or "airnode"


def with_own_secrets(settings: Settings, data_dir: Path) -> Settings:
    """Fill in the signing key and the teacher's and admin's secrets where there are none; made once and kept.

    Raises:
        StartupError: ``secrets.json`` cannot be read.
    """
    return _filled_in(settings, data_dir, {"jwt_secret": lambda: secrets.token_hex(32), **_PEOPLE})


def with_own_credentials(settings: Settings, data_dir: Path) -> Settings:
    """Fill in the teacher's and admin's secrets only; the signing key is the whole cluster's and is never made up.

    Raises:
        StartupError: ``secrets.json`` cannot be read.
    """
    return _filled_in(settings, data_dir, _PEOPLE)


def _filled_in(settings: Settings, data_dir: Path, makers: Mapping[str, Callable[[], str]]) -> Settings:
    auth = settings.auth
    missing = {key: maker for key, maker in makers.items() if not getattr(auth, key).get_secret_value()}
    if not missing:
        return settings
    made = kept_secrets(data_dir, missing)
    update = {key: SecretStr(made[key]) for key in missing}
    return settings.model_copy(update={"auth": auth.model_copy(update=update)})


def kept_secrets(data_dir: Path, makers: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """The secrets of these names from ``secrets.json``, with what is missing made and kept.

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


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 600 so that readers see the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
