"""Problems of a configuration as text for a terminal, and values as text without secrets.

Nothing here imports pydantic: ``airnode --help`` imports this package.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airnode.errors import ConfigError, FieldError

MASK = "********"
_SHOWN_CHARS = 60
_PASSWORD_IN_QUERY = re.compile(r"([?&;](?:\w*pass\w*|\w*secret\w*|\w*token\w*|\w*key|jwt)=)[^&#\s]*", re.IGNORECASE)
_MASKED = rf"\g<1>{MASK}"
#: ``host``, ``host:port``, ``[::1]:port``, or nothing, then the path. ``:word`` is a misplaced password.
_HOST_PORT = re.compile(r"(\[[^\]@]*\]|[^:/?#@\s=]*)(:\d{0,5})?(?=[/?#]|$)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET_WORDS = ("secret", "passw", "passwd", "pasw", "pwd", "token", "credential", "jwt", "key", "salt", "auth")


@dataclass(frozen=True, slots=True)
class ConfigProblem(FieldError):
    """A problem with a configuration key.

    Attributes:
        got: the value as it may be shown; empty if it must not be shown.
        origin: where the value comes from, such as ``env AIRNODE_HTTP__PORT``.
        guess: the key that was probably meant.
    """

    got: str = ""
    origin: str = ""
    guess: str = ""

    def __str__(self) -> str:
        about = [f"got {self.got}"] if self.got else []
        about += [f"from {self.origin}"] if self.origin else []
        remark = f" ({', '.join(about)})" if about else ""
        return f"{self.path}: {self.message}{remark}" + (f"; did you mean {self.guess}?" if self.guess else "")


def config_error(problems: Sequence[ConfigProblem], files: Sequence[Path] = ()) -> ConfigError:
    """Return all problems as one error, whose text is ready for a terminal; ``files`` are those that were given."""
    unique = list(dict.fromkeys(problems))
    count = f"{len(unique)} problem{'s' if len(unique) != 1 else ''}"
    lines = [f"airnode: configuration is invalid ({count})", *(f"  {problem}" for problem in unique)]
    return ConfigError("\n".join(lines), errors=unique, fields={"files": [str(file) for file in files]})


def shown(value: object, *, address: bool = False) -> str:
    """Return a value as an error message shows it: short, texts quoted, without the passwords of addresses.

    Args:
        value: what was given.
        address: the key holds an address: the value may contain a password even if it is malformed.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item, address=address) for item in value) + "]"
    elif isinstance(value, str):
        text = repr(without_password(value, address=address))
    else:
        text = str(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def without_password(text: str, *, address: bool = False) -> str:
    """Return the text without the passwords in ``redis://:password@host`` and ``?password=…``.

    An address that cannot be parsed is masked completely.
    """
    scheme = _SCHEME.search(text)
    if scheme is None:
        return MASK if address and not _HOST_PORT.fullmatch(text) else text
    head, rest = text[: scheme.end()], text[scheme.end() :]
    before, at, place = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    login = f"{user}:{MASK}@" if colon else f"{MASK}@" if at else ""
    has_host = _HOST_PORT.match(place)
    return f"{head}{login}{_PASSWORD_IN_QUERY.sub(_MASKED, place) if has_host else MASK}"


def sounds_secret(path: str) -> bool:
    """Return whether an unknown key may be a misspelt secret, whose value must not be shown."""
    word = path.lower()
    return any(secret in word for secret in _SECRET_WORDS)
