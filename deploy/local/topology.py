"""The services of the Compose file, as far as processes need them.

Read here: ``command``, ``environment`` with ``${VAR}``, ``${VAR:-default}`` and ``${VAR:?message}``, ``depends_on``,
``profiles``, ``restart``, ``scale``, ``stop_grace_period`` (Compose specification, "Services", "Profiles" and
"Interpolation"). Settings of containers only, such as volumes, are ignored: each program gets its own data directory.
Services without ``build`` use images of others and are not started.
"""

import re
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

COMPOSE = Path(__file__).parents[1] / "compose" / "compose.yaml"

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<kind>:?[-?])(?P<text>[^{}]*))?\}")
_DURATION = re.compile(r"(?:(?P<m>\d+)m)?(?:(?P<s>\d+)s)?$")
_PORTS = (
    "AIRNODE_HTTP__PORT",
    "AIRNODE_MEDIA__PORT",
    "AIRNODE_RTMP__PORT",
    "AIRNODE_EMBEDDED__REDIS_PORT",
    "AIRNODE_EMBEDDED__POSTGRES_PORT",
)


class TopologyError(Exception):
    """The file is wrong, or a variable that it needs is missing. The text is one sentence."""


@dataclass(frozen=True, slots=True)
class Program:
    """A service as a process.

    Attributes:
        args: arguments of airnode. env: its environment, besides the inherited variables.
        scale: number of instances that the file starts. after: services that must be ready, or done, before it starts.
        grace_s: how long it may take to stop. ends: it does its work and ends by itself.
        profiles: it is started if one of them is requested; without profiles, always.
    """

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    scale: int = 1
    after: tuple[str, ...] = ()
    grace_s: float = 10.0
    ends: bool = False
    profiles: frozenset[str] = frozenset()

    @property
    def is_slave(self) -> bool:
        """Return whether it serves viewers."""
        return "slave" in self.args

    @property
    def is_master(self) -> bool:
        """Return whether it is the master, whose address the others get."""
        return "master" in self.args

    def with_env(self, **env: str) -> "Program":
        """Return a copy with these values in its environment."""
        return replace(self, env={**self.env, **env})


def read(path: Path, variables: Mapping[str, str]) -> list[Program]:
    """Return the services of a Compose file that run airnode, in its order.

    Raises:
        TopologyError: the file cannot be read, or a variable that it needs is missing.
    """
    try:
        services: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["services"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise TopologyError(f"{path} cannot be read: {error}") from None
    ours = {name: service for name, service in services.items() if "build" in service}
    return [_program(name, service, variables, ours) for name, service in ours.items()]


def _program(name: str, service: Mapping[str, Any], variables: Mapping[str, str], ours: Container[str]) -> Program:
    env = {key: interpolated(str(value), variables) for key, value in service.get("environment", {}).items()}
    return Program(
        name,
        tuple(interpolated(str(word), variables) for word in service["command"]),
        env,
        int(service.get("scale", 1)),
        tuple(each for each in service.get("depends_on", ()) if each in ours),
        seconds(str(service.get("stop_grace_period", "10s"))),
        ends=service.get("restart") == "no",
        profiles=frozenset(service.get("profiles", ())),
    )


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with its variables replaced as Compose does.

    Raises:
        TopologyError: a required variable is missing.
    """

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        found, kind = variables.get(match["name"]), match["kind"] or ""
        if found or (found is not None and not kind.startswith(":")):
            return found
        if kind.endswith("?"):
            raise TopologyError(f"{match['name']} {match['text']}")
        return match["text"] if kind else ""

    return _VARIABLE.sub(value, text)


def seconds(text: str) -> float:
    """Return the seconds of a duration such as ``30s`` or ``1m30s``."""
    match = _DURATION.match(text)
    if match is None or not text:
        raise TopologyError(f"{text!r} is no duration such as 30s or 1m30s")
    return int(match["m"] or 0) * 60.0 + int(match["s"] or 0)


def variables_of(path: Path) -> dict[str, str]:
    """Return the variables of a ``.env`` file: one NAME=value per line, ``#`` begins a comment."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def chosen(
    programs: list[Program], slaves: int, profiles: Collection[str] = (), consumers: int | None = None
) -> list[Program]:
    """Return the programs without a profile or with one of ``profiles``.

    Args:
        slaves: number of slaves: first those of the file, then copies of its slave with ``scale: 0``.
        consumers: number of consumers; None: that of the file.

    Raises:
        TopologyError: the file has too few slaves and none with ``scale: 0``, or it has no such profile.
    """
    for profile in profiles:
        if not any(profile in each.profiles for each in programs):
            raise TopologyError(f"no service that airnode runs has the profile {profile!r}")
    asked = [each for each in programs if not each.profiles or each.profiles.intersection(profiles)]
    others = [many for each in asked if not each.is_slave for many in _scaled(each, consumers)]
    return others + _slaves(asked, slaves)


def _scaled(program: Program, consumers: int | None) -> list[Program]:
    """Return the wanted number of copies; several copies are numbered."""
    count = consumers if consumers is not None and "consumer" in program.args else program.scale
    if count == 1:
        return [program]
    return [replace(program, name=f"{program.name}-{n}") for n in range(1, count + 1)]


def _slaves(programs: list[Program], slaves: int) -> list[Program]:
    named = [each for each in programs if each.is_slave and each.scale]
    spare = next((each for each in programs if each.is_slave and not each.scale), None)
    more = range(len(named) + 1, slaves + 1)
    if more and spare is None:
        raise TopologyError(f"the Compose file has {len(named)} slaves, and none with scale: 0 to make more of")
    added = [replace(spare, name=f"{spare.name}-{n}") for n in more] if spare else []
    return named[:slaves] + added


def on_free_ports(program: Program) -> Program:
    """Return a copy in which port 0 (any free port) replaces each port of the file."""
    return program.with_env(**{name: "0" for name in _PORTS if name in program.env})
