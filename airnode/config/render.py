"""A configuration as text and as JSON: values with their origins, keys with their help, the JSON schema."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from airnode.config.keys import Key, KeyIndex, KeyKind
from airnode.config.loading import DEFAULT, Loaded
from airnode.config.model import Settings
from airnode.config.problems import MASK, without_password
from airnode.errors import ConfigError

Painter = Callable[[str, str], str]
_SIZES = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def plain(text: str, _colour: str) -> str:
    """Return the text without colours."""
    return text


def safe(value: Any) -> Any:
    """Return a value that JSON can represent; secrets and passwords in addresses are masked."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, tuple | list | set | frozenset):
        return [safe(item) for item in value]
    if isinstance(value, dict):
        return {str(name): safe(item) for name, item in value.items()}
    return value


def toml(value: Any, kind: KeyKind = KeyKind.OTHER) -> str:
    """Return a safe value as TOML. A value that is unset is ``""``, because TOML has no null."""
    if value is None:
        return '""'
    if kind is KeyKind.BYTES and isinstance(value, int):
        return next((f'"{value // size}{unit}"' for unit, size in _SIZES if value and value % size == 0), str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)


def show(loaded: Loaded, *, changed: bool = False, paint: Painter = plain) -> str:
    """Return every key with its value and origin, as TOML that can be pasted into a file (except masked secrets)."""
    rows = [
        (path, toml(safe(loaded.value(path)), key.kind), loaded.origins[path])
        for path, key in loaded.index.keys.items()
        if not changed or loaded.origins[path] != DEFAULT
    ]
    width = min(max((_cells(path) + _cells(text) for path, text, _ in rows), default=0), 60)
    lines = []
    for path, text, origin in rows:
        pad = " " * max(0, width - _cells(path) - _cells(text))
        colour = "dim" if origin == DEFAULT else "green"
        lines.append(f"{paint(path, 'cyan')} = {text}{pad}  {paint(f'# {origin}', colour)}")
    return "\n".join(lines)


def show_json(loaded: Loaded, *, changed: bool = False) -> str:
    """Return ``{dotted key: {value, origin}}`` as JSON."""
    values = {
        path: {"value": safe(loaded.value(path)), "origin": loaded.origins[path]}
        for path in loaded.index.keys
        if not changed or loaded.origins[path] != DEFAULT
    }
    return json.dumps(values, indent=2, ensure_ascii=False)


def check(loaded: Loaded) -> str:
    """Return a text that says that the configuration is valid, and lists the files and the warnings."""
    lines = ["configuration is valid", *(f"  read {path}" for path in loaded.files)]
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in loaded.warnings)])


def check_json(result: Loaded | ConfigError) -> str:
    """Return ``{valid, files, warnings, problems}`` as JSON."""
    found: dict[str, object] = {"valid": True, "files": [], "warnings": [], "problems": []}
    if isinstance(result, Loaded):
        found |= {"files": [str(path) for path in result.files], "warnings": list(result.warnings)}
    else:
        names = ("path", "message", "got", "origin", "guess")
        problems = [{name: getattr(error, name, "") for name in names} for error in result.errors]
        found |= {"valid": False, "files": result.fields.get("files", []), "problems": problems}
    return json.dumps(found, indent=2, ensure_ascii=False)


def defaults(index: KeyIndex) -> str:
    """Return all keys as a TOML file, each commented out at its default, with its meaning and limits."""
    lines = [
        "# Every key of airnode with its default. Uncomment what you change.",
        '# Durations take 5, "300ms", "2m", "1h"; sizes take 65536, "512KiB", "5MB". Unset is "".',
        "# Flags beat the environment, the environment beats files, later files beat earlier ones.",
        '# A secret can also stand in a file: <key>_file = "/run/secrets/name".',
    ]
    for name, model in index.sections.items():
        lines += ["", f"# {_first_line(model.__doc__)}", f"[{name}]"]
        for key in keys_in(index, name):
            lines += [f"# {text}" for text in _wrapped(key_help(key))]
            lines.append(f"#{key.path.removeprefix(name + '.')} = {toml(safe(key.default), key.kind)}")
    return "\n".join(lines) + "\n"


def keys_in(index: KeyIndex, section: str) -> Iterator[Key]:
    """Return the keys of a section, in the model's order."""
    return (key for path, key in index.keys.items() if path.startswith(section + "."))


def key_help(key: Key) -> str:
    """Return the help of a key, with its unit, limits and choices."""
    units = {KeyKind.SECONDS: "seconds", KeyKind.BYTES: "bytes"}
    notes = [units[key.kind]] if key.kind in units else []
    notes += [key.limits] if key.limits else []
    notes += [" | ".join(key.choices)] if key.choices else []
    return f"{key.description} ({', '.join(notes)})" if notes else key.description


class _Schema(GenerateJsonSchema):
    """Omits defaults that have no JSON form, without a warning."""

    ignored_warning_kinds = frozenset({"skipped-choice", "non-serializable-default"})  # type: ignore[assignment]


def schema(index: KeyIndex) -> str:
    """Return the JSON schema of a configuration file, with the keys that roles add."""
    cluster: Any = index.sections["cluster"]
    model = create_model("Settings", __base__=Settings, __doc__=Settings.__doc__, cluster=(cluster, cluster()))
    whole: JsonSchemaValue = model.model_json_schema(schema_generator=_Schema, mode="validation")
    roles = {name: model for name, model in index.sections.items() if "." in name}
    if roles:
        tables = {
            name.partition(".")[2]: model.model_json_schema(schema_generator=_Schema) for name, model in roles.items()
        }
        whole["properties"]["roles"] = {"type": "object", "properties": tables, "additionalProperties": False}
    _with_files(whole)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}, indent=2)


def _with_files(table: Any) -> None:
    """Add ``<key>_file`` for each secret, and ``""`` for unset values: TOML has no null."""
    if isinstance(table, list):
        for item in table:
            _with_files(item)
    if not isinstance(table, dict):
        return
    if table.get("type") == "null":
        table.clear()
        table["const"] = ""
    properties = table.get("properties")
    if isinstance(properties, dict):
        for name in [name for name, value in properties.items() if value.get("format") == "password"]:
            properties[f"{name}_file"] = {"type": "string", "description": f"File that holds {name}."}
    for value in table.values():
        _with_files(value)


def _cells(text: str) -> int:
    """Return the width on a terminal: Korean characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]


def _wrapped(text: str, width: int = 110) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
