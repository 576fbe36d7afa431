"""The index of all configuration keys: type, limits and help of each, and suggestions for misspelt keys."""

import difflib
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from airnode.config.model import Settings
from airnode.config.problems import ConfigProblem, shown, sounds_secret
from airnode.config.sections.base import Section
from airnode.config.sections.cluster import with_join_tokens
from airnode.config.units import parse_bytes, parse_seconds

ROLES = "roles"


class KeyKind(enum.StrEnum):
    """The type of a key. The value of the enum member is the type's name in docs/config.md."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105  # the name of a type, not a password
    INT = "whole number"
    FLOAT = "number"
    SECONDS = "duration (s)"
    BYTES = "size (bytes)"
    BOOL = "true or false"
    CHOICE = "choice"
    LIST = "list of texts"
    PATH = "path"
    OTHER = "value"


_EXPECTS = {
    KeyKind.TEXT: "must be text",
    KeyKind.SECRET: "must be text",
    KeyKind.INT: "must be a whole number",
    KeyKind.FLOAT: "must be a number",
    KeyKind.SECONDS: 'must be a number of seconds, such as 5, "300ms" or "2m"',
    KeyKind.BYTES: 'must be a size in bytes, such as 65536, "512KiB" or "5MiB"',
    KeyKind.BOOL: "must be true or false",
    KeyKind.LIST: 'must be a list of texts, such as ["a", "b"]',
    KeyKind.PATH: "must be a path",
    KeyKind.OTHER: "has the wrong type",
}
_UNIT = {KeyKind.SECONDS: " seconds", KeyKind.BYTES: " bytes"}
NUMBERS = frozenset({KeyKind.INT, KeyKind.FLOAT, KeyKind.SECONDS, KeyKind.BYTES})


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the model.

    Attributes:
        path: dotted, such as ``http.port``.
        default: None if the key may be unset, or must be set (``required``).
        limits: the range in words, such as ``from 0 to 65535``; empty: no limits.
        hint: a sentence of the model about the form of the text (``json_schema_extra={"must": …}``).
    """

    path: str
    kind: KeyKind
    default: object
    description: str
    choices: tuple[str, ...] = ()
    limits: str = ""
    optional: bool = False
    required: bool = False
    hint: str = ""

    @property
    def expects(self) -> str:
        """Return the error message for a value of the wrong type."""
        if self.choices:
            return f"must be one of {', '.join(self.choices)}"
        text = self.hint or _EXPECTS[self.kind]
        positive_only = self.limits in ("more than 0", "at least 0")
        return f"{text}, {self.limits}" if self.limits and not positive_only else text

    @property
    def in_range(self) -> str:
        """Return the error message for a number out of range."""
        return f"must be {self.limits}{_UNIT.get(self.kind, '')}"

    @property
    def env(self) -> str:
        """Return the environment variable: ``AIRNODE_HTTP__PORT`` for ``http.port``."""
        return env_name(self.path)


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """The keys that installed roles add to the configuration.

    Attributes:
        sections: {role: section}, configured as ``[roles.<role>]``.
        join_tokens: {key of the section ``[cluster]``: description}.
    """

    sections: Mapping[str, type[Section]] = field(default_factory=dict)
    join_tokens: Mapping[str, str] = field(default_factory=dict)


def env_name(path: str) -> str:
    """Return the environment variable of a dotted key."""
    return "AIRNODE_" + path.upper().replace("-", "_").replace(".", "__")


@dataclass(frozen=True)
class KeyIndex:
    """All keys and sections, including those of third-party roles under ``roles.<name>``."""

    #: {dotted path: key}, in the model's order
    keys: Mapping[str, Key]
    #: {dotted path: model}
    sections: Mapping[str, type[BaseModel]]
    #: {environment variable: dotted path}
    by_env: Mapping[str, str] = field(default_factory=dict)

    def section_of(self, path: str) -> str:
        """Return the section that a path starts with, or ``""``."""
        head = path.split(".")
        name = ".".join(head[:2]) if head[0] == ROLES else head[0]
        return name if name in self.sections else ""

    def nearest(self, path: str) -> Key | None:
        """Return the key at the path or above it: ``http.trusted_proxies`` for ``http.trusted_proxies.0``."""
        parts = path.split(".")
        candidates = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.keys[candidate] for candidate in candidates if candidate in self.keys), None)

    def unknown(self, path: str, value: object, origin: str) -> ConfigProblem:
        """Return the problem of an unknown key or section, with a suggestion."""
        section, parts = self.section_of(path), path.split(".")
        if section == path:
            example = next(key for key in self.keys if key.startswith(section + "."))
            return ConfigProblem(path, f"is a section; set one of its keys, such as {example}", "", origin)
        if parts[0] == ROLES and not section:
            role = ".".join(parts[:2])
            return ConfigProblem(
                role, "no installed role has such a section", "", origin, self._guess(role, self._roles())
            )
        if not section and (len(parts) > 1 or isinstance(value, dict)):
            return ConfigProblem(parts[0], "unknown section", "", origin, self._guess(parts[0].lower(), self.sections))
        guess = self._guess_key(path.lower(), section)
        known = next(iter(guess.split(", ")), "")
        hidden = sounds_secret(path) or (known in self.keys and self.keys[known].kind is KeyKind.SECRET)
        got = shown(value) if isinstance(value, bool | int | float) and not hidden else ""
        return ConfigProblem(path, "unknown key", got, origin, guess)

    def _roles(self) -> list[str]:
        return [name for name in self.sections if name.startswith(ROLES + ".")]

    def _guess_key(self, path: str, section: str) -> str:
        siblings = [key for key in self.keys if section and key.startswith(section + ".")]
        if near := self._guess(path, siblings, cutoff=0.75):
            return near
        leaf = path.rpartition(".")[2]
        elsewhere = [key for key in self.keys if key.rpartition(".")[2] == leaf][:3]
        return " or ".join(elsewhere) or self._guess(path, self.keys, cutoff=0.8)

    @staticmethod
    def _guess(word: str, words: Mapping[str, object] | list[str], cutoff: float = 0.6) -> str:
        return next(iter(difflib.get_close_matches(word, list(words), 1, cutoff)), "")


def index_of(role_keys: RoleKeys) -> KeyIndex:
    """Return the index of the model and of the keys that roles add to it."""
    models: dict[str, type[BaseModel]] = {
        name: info.annotation
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }
    models["cluster"] = with_join_tokens(role_keys.join_tokens)
    models |= {f"{ROLES}.{name}": section for name, section in role_keys.sections.items()}
    keys = {key.path: key for name, model in models.items() for key in _keys_of(name, model)}
    return KeyIndex(keys, models, {key.env: key.path for key in keys.values()})


def _keys_of(prefix: str, model: type[BaseModel]) -> Iterator[Key]:
    for name, info in model.model_fields.items():
        path = f"{prefix}.{name}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _keys_of(path, info.annotation)
        else:
            yield _key(path, info)


def _key(path: str, info: FieldInfo) -> Key:
    annotation, metadata, optional = _unwrap(info.annotation, list(info.metadata))
    kind = _kind(annotation, metadata)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Key(
        path,
        kind,
        None if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
        info.description or "",
        choices=tuple(str(choice) for choice in get_args(annotation)) if kind is KeyKind.CHOICE else (),
        limits=_limits(metadata),
        optional=optional,
        required=info.is_required(),
        hint=str(extra.get("must", "")),
    )


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any], bool]:
    """Remove ``| None`` and ``Annotated``; return the plain type, the metadata and whether None is allowed."""
    optional = False
    if get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation):
        rest = [arm for arm in get_args(annotation) if arm is not type(None)]
        annotation, optional = (rest[0], True) if len(rest) == 1 else (annotation, True)
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for item in more:
            metadata += item.metadata if isinstance(item, FieldInfo) else [item]
    return annotation, metadata, optional


def _kind(annotation: Any, metadata: list[Any]) -> KeyKind:
    before = {item.func for item in metadata if isinstance(item, BeforeValidator)}
    if parse_seconds in before:
        return KeyKind.SECONDS
    if parse_bytes in before:
        return KeyKind.BYTES
    if get_origin(annotation) is Literal:
        return KeyKind.CHOICE
    if get_origin(annotation) in (tuple, list) and _unwrap(get_args(annotation)[0], [])[0] is str:
        return KeyKind.LIST
    simple: dict[Any, KeyKind] = {
        bool: KeyKind.BOOL,
        int: KeyKind.INT,
        float: KeyKind.FLOAT,
        str: KeyKind.TEXT,
        SecretStr: KeyKind.SECRET,
        Path: KeyKind.PATH,
    }
    return simple.get(annotation, KeyKind.OTHER)


def _limits(metadata: list[Any]) -> str:
    """Return ``from 0 to 65535``, ``at least 1``, ``more than 0``; empty without a bound."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = {
        name: getattr(item, name)
        for name in words
        for item in metadata
        if isinstance(item, Ge | Gt | Le | Lt) and hasattr(item, name)
    }
    if bounds.keys() == {"ge", "le"}:
        return f"from {bounds['ge']} to {bounds['le']}"
    return " and ".join(f"{words[name]} {bound}" for name, bound in bounds.items())
