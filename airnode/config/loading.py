"""Turns layers of values into checked settings. Each key gets its strongest value; all problems are collected."""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from airnode.config import rules
from airnode.config.keys import NUMBERS, ROLES, Key, KeyIndex, KeyKind, RoleKeys, index_of
from airnode.config.model import Settings
from airnode.config.problems import MASK, ConfigProblem, config_error, shown
from airnode.config.sections.base import Section
from airnode.config.sources import Entry, Sources

DEFAULT = "default"
_MAX_SECRET_BYTES = 64 << 10
_OUT_OF_RANGE = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration.

    Attributes:
        origins: {dotted key: ``default``, ``file NAME``, ``env NAME`` or ``flag --OPTION``}, for every key.
        files: the files that were read, in order.
        warnings: sentences for the log about valid values that have no effect or are probably not intended.
        roles: the sections of third-party roles, by role name.
        index: all keys with their type and help.
    """

    settings: Settings
    origins: Mapping[str, str]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]
    roles: Mapping[str, Section]
    index: KeyIndex

    def value(self, path: str) -> Any:
        """Return the value of a dotted key, also of ``roles.<name>.<key>``."""
        head, _, rest = path.partition(".")
        if head == ROLES:
            name = self.index.section_of(path).removeprefix(ROLES + ".")
            return rules.value_at(self.roles[name], path.removeprefix(f"{ROLES}.{name}."))
        return rules.value_at(getattr(self.settings, head), rest)


def load_from(sources: Sources) -> Loaded:
    """Return the settings of the layers, after all checks.

    Raises:
        ConfigError: it contains every problem of every layer.
    """
    index, problems = sources.index, list(sources.broken)
    entries = {path: entry for layer in sources.layers for path, entry in layer.items()}
    values: dict[str, object] = {}
    for path in (path for path in index.keys if path in entries):
        value = _value(index.keys[path], entries[path])
        if isinstance(value, ConfigProblem):
            problems.append(value)
        else:
            values[path] = value
    failed = {problem.path for problem in problems}
    models, invalid = _validated(index, values, entries, failed)
    problems += invalid
    settings = Settings(**{name: model for name, model in models.items() if not name.startswith(ROLES + ".")})
    problems += _broken_rules(settings, index, entries, failed | {problem.path for problem in invalid})
    problems += sources.unknown
    if problems:
        raise config_error(problems, sources.given)
    roles = {name.removeprefix(ROLES + "."): model for name, model in models.items() if name.startswith(ROLES + ".")}
    origins = {path: entries[path].origin if path in entries else DEFAULT for path in index.keys}
    warnings = (*sources.warnings, *rules.warnings(settings))
    return Loaded(settings, origins, tuple(sources.files), warnings, roles, index)


def load(
    *,
    flags: Mapping[str, object],
    files: Sequence[Path],
    env: Mapping[str, str],
    role_keys: RoleKeys,
    problems: Sequence[ConfigProblem] = (),
) -> Loaded:
    """Return the same as :func:`airnode.config.load`. Earlier ``problems`` are reported together with the others."""
    sources = Sources(index_of(role_keys), broken=list(problems))
    by_env = [Path(name) for name in env.get("AIRNODE_CONFIG", "").split(os.pathsep) if name]
    sources.add_files(files or by_env, "flag --config" if files else "env AIRNODE_CONFIG")
    sources.add_env(env)
    sources.add_flags(flags)
    return load_from(sources)


def _value(key: Key, entry: Entry) -> object:
    """Return the value in the form that the model expects, or the problem with it."""
    value = entry.value
    if entry.secret_file:
        return _secret_in(entry)
    if key.optional and value == "":
        return None
    if key.kind in NUMBERS and isinstance(value, bool):
        return ConfigProblem(key.path, key.expects, _shown(key, entry), entry.origin)
    if key.kind is KeyKind.PATH and value == "":
        return ConfigProblem(key.path, key.expects, _shown(key, entry), entry.origin)
    if key.kind is KeyKind.CHOICE and isinstance(value, str):
        return value.strip().lower() if value not in key.choices else value
    if entry.text and isinstance(value, str) and key.kind in (KeyKind.LIST, KeyKind.OTHER):
        return _parsed(key, entry, value.strip())
    return value


def _parsed(key: Key, entry: Entry, text: str) -> object:
    if key.kind is KeyKind.LIST and not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return tomllib.loads(f"value = {text}\n")["value"]
    except (ValueError, RecursionError):
        return (
            ConfigProblem(key.path, key.expects, _shown(key, entry), entry.origin) if key.kind is KeyKind.LIST else text
        )


def _shown(key: Key, entry: Entry) -> str:
    return shown(entry.value, address=key.path.endswith("url"))


def _secret_in(entry: Entry) -> object:
    """Return the stripped content of a secret's file, or the problem with the file."""
    if not isinstance(entry.value, str):
        return ConfigProblem(entry.path, f"{entry.path}_file must be the path of a file", "", entry.origin)
    path = Path(entry.value)
    # If the secret itself was given instead of a path, it must not be printed: show only what looks like a path.
    about = f"its file {path}" if len(path.parts) > 1 and _is_dir(path.parent) else "its file"
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
        text = data.decode("utf-8").strip()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "there is no such path"
        return ConfigProblem(entry.path, f"{about} cannot be read: {reason}", "", entry.origin)
    except ValueError:
        return ConfigProblem(entry.path, f"{about} is not UTF-8 text", "", entry.origin)
    if not text or len(data) > _MAX_SECRET_BYTES:
        return ConfigProblem(entry.path, f"{about} is {'too large' if text else 'empty'}", "", entry.origin)
    return text


def _is_dir(path: Path) -> bool:
    try:
        return path.expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        return False


def _validated(
    index: KeyIndex, values: Mapping[str, object], entries: Mapping[str, Entry], failed: set[str]
) -> tuple[dict[str, Any], list[ConfigProblem]]:
    """Return the validated sections and the problems. Invalid keys get their defaults."""
    models: dict[str, Any] = {}
    problems: list[ConfigProblem] = []
    for name, model in index.sections.items():
        mine = {path: value for path, value in values.items() if path.startswith(name + ".")}
        try:
            models[name] = model.model_validate(_nested(mine, name))
            continue
        except ValidationError as error:
            found = list(_problems(index, name, error, entries))
        problems += [problem for problem in found if problem.path not in failed]
        wrong = {problem.path for problem in found}
        try:
            rest = {path: value for path, value in mine.items() if path not in wrong}
            models[name] = model.model_validate(_nested(rest, name))
        except ValidationError:
            models[name] = model.model_construct()
    return models, problems


def _nested(values: Mapping[str, object], section: str) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in values.items():
        *tables, name = path.removeprefix(section + ".").split(".")
        table = root
        for inner in tables:
            table = table.setdefault(inner, {})
        table[name] = value
    return root


def _problems(
    index: KeyIndex, section: str, error: ValidationError, entries: Mapping[str, Entry]
) -> Iterator[ConfigProblem]:
    seen = set()
    for detail in error.errors(include_url=False):
        path = ".".join([section, *(str(part) for part in detail["loc"])])
        key = index.nearest(path)
        if (key.path if key else path) in seen:
            continue
        seen.add(key.path if key else path)
        entry = entries.get(key.path) if key else None
        origin = entry.origin if entry else ""
        message = _sentence(key, detail["type"], detail["msg"], detail.get("ctx", {}))
        if key is None:
            yield ConfigProblem(path, message, "", origin)
        elif key.kind is KeyKind.SECRET:
            secret = entry.value if entry and not entry.secret_file else None
            safe = message.replace(secret, MASK) if isinstance(secret, str) and secret else message
            yield ConfigProblem(key.path, safe, "", origin)
        else:
            yield ConfigProblem(key.path, message, _shown(key, entry) if entry else "", origin)


def _sentence(key: Key | None, kind: str, pydantic_message: str, context: Mapping[str, object]) -> str:
    """Return pydantic's error as a sentence for people who edit configuration files."""
    if kind == "value_error":
        return str(context.get("error", pydantic_message))
    if kind == "missing":
        return "must be set"
    if key is None:
        return pydantic_message
    if kind in _OUT_OF_RANGE and key.limits:
        return key.in_range
    if key.kind is KeyKind.OTHER:
        return pydantic_message.replace("Input should be", "must be")
    return key.expects


def _broken_rules(
    settings: Settings, index: KeyIndex, entries: Mapping[str, Entry], failed: set[str]
) -> Iterator[ConfigProblem]:
    for rule, message in rules.broken_rules(settings):
        if failed.isdisjoint(rule.keys):
            path = rule.keys[0]
            if rule.waived_by_set and path in entries and entries[path].origin == "flag --set":
                continue
            entry = entries.get(path) or next((entries[key] for key in rule.keys if key in entries), None)
            secret = index.keys[path].kind is KeyKind.SECRET
            got = "" if secret or path not in entries else _shown(index.keys[path], entries[path])
            yield ConfigProblem(path, message, got, entry.origin if entry else "")
