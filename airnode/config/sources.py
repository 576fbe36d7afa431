"""The layers that values come from: files, legacy environment names, ``AIRNODE_*``, flags."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airnode.config.flags import Flag
from airnode.config.keys import ROLES, KeyIndex, KeyKind, env_name
from airnode.config.problems import ConfigProblem

ENV_PREFIX = "AIRNODE_"
#: Names that start with AIRNODE_ and are not keys: {name, or prefix ending in _: meaning}
ENV_RESERVED = {
    "AIRNODE_CONFIG": f"configuration files to read where no --config is given, separated by {os.pathsep!r}",
    "AIRNODE_TEST_": "switches of the test suite",
}
#: {name that existing deployments set: dotted key}
ENV_LEGACY = {
    "JWT_SECRET_KEY": "auth.jwt_secret",
    "MASTER_URL": "cluster.master_url",
    "NODE_NAME": "node.name",
    "NODE_HOST": "node.host",
    "MAX_CONNECTIONS": "cluster.max_connections",
    "REDIS_URL": "redis.url",
    "REDIS_HOST": "redis.host",
    "REDIS_PORT": "redis.port",
    "REDIS_PASSWORD": "redis.password",
    "POSTGRES_HOST": "postgres.host",
    "POSTGRES_USER": "postgres.user",
    "POSTGRES_PASSWORD": "postgres.password",
    "POSTGRES_DB": "postgres.database",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.bootstrap",
    "KAFKA_ENABLED": "kafka.enabled",
    "CACHE_REFRESH_INTERVAL": "cache.refresh_interval_s",
    "CACHE_BATCH_SIZE": "cache.batch_size",
    "CACHE_NEW_DATA_RATIO": "cache.new_data_ratio",
    "PORT": "http.port",
    "MAX_CHUNKS": "speech.max_concurrent_chunks",
    "MAX_CONCURRENT_CHUNKS": "speech.max_concurrent_chunks",
    "WHISPER_CACHE_DIR": "speech.models_dir",
    "QUEUE_NAME": "speech.queues",
    "WORKER_ID": "speech.worker_id",
    "OPENAI_API_KEY": "speech.openai_api_key",
    "OPENAI_BASE_URL": "speech.remote_url",
    "ALLOWED_ORIGINS": "http.allowed_origins",
    "LOG_LEVEL": "log.level",
}
#: Level names of other programs: LOG_LEVEL is often shared with them.
_LEGACY_LEVELS = {"warn": "warning", "critical": "error", "fatal": "error"}
#: Kubernetes and Docker set REDIS_PORT=tcp://10.0.0.1:6379 and AIRNODE_SERVICE_HOST for services of these names.
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_LINK_NAME = re.compile(r"AIRNODE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)$")
_MAX_FILE_BYTES = 1 << 20
_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One value in one layer.

    Attributes:
        path: dotted key, as the model spells it.
        text: the value is text from the environment or a flag. A list is comma-separated, or a JSON or TOML array.
        secret_file: ``value`` is the path of the file that holds the value.
    """

    path: str
    value: object
    origin: str
    text: bool = False
    secret_file: bool = False


@dataclass
class Sources:
    """All layers, the weakest first, and the problems found while reading them."""

    index: KeyIndex
    layers: list[dict[str, Entry]] = field(default_factory=list)
    #: ``given``: all files that were given. ``files``: those of them that were read.
    given: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    broken: list[ConfigProblem] = field(default_factory=list)
    unknown: list[ConfigProblem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_files(self, files: Sequence[Path], origin: str) -> None:
        """Read each file as a layer; later files override earlier ones."""
        self.given += files
        for path in files:
            table = self._table(path, origin)
            if table is not None:
                self.files.append(path)
                self._add(_leaves(self.index, table, ""), f"file {path}")

    def add_env(self, env: Mapping[str, str]) -> None:
        """Add the legacy names as a layer, and ``AIRNODE_*`` as a stronger one."""
        legacy = dict(self._legacy(env))
        layer: dict[str, Entry] = {}
        for name, value in env.items():
            if name.startswith(ENV_PREFIX) and not _is_reserved(name, value):
                self._put(layer, self._env_path(name), value, f"env {name}", text=True)
        for path in legacy.keys() & layer.keys():
            if legacy[path].value != layer[path].value:
                self.warnings.append(f"{legacy[path].origin} is not used: {layer[path].origin} is set")
        self.layers += [legacy, layer]

    def add_flags(self, flags: Mapping[str, object]) -> None:
        """Add the flags, the strongest layer. Each value is a :class:`Flag` or a raw value."""
        layer: dict[str, Entry] = {}
        for path, raw in flags.items():
            flag = raw if isinstance(raw, Flag) else Flag(raw, "--set")
            self._put(layer, path, flag.value, f"flag {flag.option}", text=isinstance(flag.value, str))
        self.layers.append(layer)

    def _add(self, leaves: Iterator[tuple[str, object]], origin: str) -> None:
        layer: dict[str, Entry] = {}
        for path, value in leaves:
            self._put(layer, path, value, origin)
        self.layers.append(layer)

    def _put(self, layer: dict[str, Entry], path: str, value: object, origin: str, *, text: bool = False) -> None:
        keys, plain = self.index.keys, path.removesuffix("_file")
        if path in keys:
            entry = Entry(path, value, origin, text)
        elif plain in keys and keys[plain].kind is KeyKind.SECRET:
            if value == "":
                return
            entry = Entry(plain, value, origin, secret_file=True)
        else:
            self.unknown.append(self._unknown(path, value, origin))
            return
        other = layer.get(entry.path)
        if other is not None and other.secret_file != entry.secret_file:
            where = origin if origin == other.origin else f"{other.origin} and {origin}"
            self.broken.append(
                ConfigProblem(entry.path, f"give {entry.path} or {entry.path}_file, not both", "", where)
            )
        layer[entry.path] = entry

    def _unknown(self, path: str, value: object, origin: str) -> ConfigProblem:
        if not path.startswith(ENV_PREFIX):
            return self.index.unknown(path, value, origin)
        leaf = "__" + path.removeprefix(ENV_PREFIX)
        same = [name for name in self.index.by_env if name.endswith(leaf)][:3]
        near = difflib.get_close_matches(path, [*self.index.by_env, *ENV_RESERVED], 1, 0.7)
        guess = " or ".join(same or near)
        return ConfigProblem(path, "unknown environment variable", guess=guess)

    def _env_path(self, name: str) -> str:
        """Return the dotted key of ``AIRNODE_SECTION__KEY``; the name itself if it has no section."""
        plain = name.removesuffix("_FILE")
        if name in self.index.by_env:
            return self.index.by_env[name]
        if plain in self.index.by_env:
            return self.index.by_env[plain] + "_file"
        section, _, key = name.rpartition("__")
        for path in self.index.sections:
            if env_name(path) == section:
                return f"{path}.{key.lower()}"
        tail = name.removeprefix(ENV_PREFIX)
        return tail.lower().replace("__", ".") if "__" in tail else name

    def _legacy(self, env: Mapping[str, str]) -> Iterator[tuple[str, Entry]]:
        for name, path in ENV_LEGACY.items():
            value = env.get(name, "")
            if not value:
                continue
            if name.endswith("PORT") and _LINK_VALUE.match(value):
                self.warnings.append(f"env {name} is not used: it is a service link of the platform, not a port")
                continue
            if path == "log.level":
                value = _LEGACY_LEVELS.get(value.lower(), value)
            yield path, Entry(path, value, f"env {name}", text=True)

    def _table(self, path: Path, origin: str) -> dict[str, object] | None:
        try:
            with path.expanduser().open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            if len(data) > _MAX_FILE_BYTES:
                raise ValueError("larger than 1 MiB, which no configuration is")
            return tomllib.loads(data.decode("utf-8-sig"))
        except OSError as error:
            self.broken.append(ConfigProblem(f"file {path}", f"cannot be read: {error.strerror or error}", "", origin))
        except UnicodeDecodeError as error:
            self.broken.append(ConfigProblem(f"file {path}", f"is not UTF-8 text (byte {error.start})", "", origin))
        except RecursionError:
            self.broken.append(ConfigProblem(f"file {path}", "is nested too deeply", "", origin))
        except (ValueError, RuntimeError) as error:
            self.broken.append(_syntax(path, str(error)))
        return None


def _syntax(path: Path, text: str) -> ConfigProblem:
    """Return the problem, with tomllib's ``… (at line 3, column 5)`` at the front, as people and editors expect."""
    match = _POSITION.search(text)
    if match is None:
        return ConfigProblem(f"file {path}", text)
    place = f"line {match[1]}, column {match[2]}" if match[1] else "end of file"
    message = text[: match.start()]
    return ConfigProblem(f"file {path}", f"{place}: not TOML: {message[:1].lower()}{message[1:]}")


def _leaves(index: KeyIndex, table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    """Yield the (dotted path, value) pairs of a document. A table that is the value of a key is one pair."""
    for name, value in table.items():
        path = f"{prefix}{name}"
        inner = path == ROLES or path in index.sections or any(key.startswith(path + ".") for key in index.keys)
        if isinstance(value, dict) and inner:
            yield from _leaves(index, value, path + ".")
        else:
            yield path, value


def _is_reserved(name: str, value: str) -> bool:
    if any(name == known or (known.endswith("_") and name.startswith(known)) for known in ENV_RESERVED):
        return True
    is_link = _LINK_NAME.match(name) or (name.endswith("_PORT") and _LINK_VALUE.match(value))
    return "__" not in name and bool(is_link)
