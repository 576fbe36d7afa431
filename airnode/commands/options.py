"""The command line's part of the configuration: the options that every command takes, and the keys they stand for.

Nothing here imports pydantic, so that ``airnode --help`` stays quick.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from airnode.config.flags import Flag, parse_set
from airnode.config.problems import ConfigProblem
from airnode.errors import ConfigError

if TYPE_CHECKING:
    from airnode.config.keys import RoleKeys
    from airnode.config.loading import Loaded

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Option:
    """One option that stands for a key. Values stay text here: the model checks them, all at once."""

    name: str
    key: str
    metavar: str
    help: str

    @property
    def param(self) -> str:
        """Return the name of the argument in which click passes the value."""
        return self.name.removeprefix("--").replace("-", "_")


#: The options that have a separate name; all other keys go through --set.
OPTIONS = (
    Option("--host", "http.host", "ADDRESS", "Address that all ports listen on [default: 0.0.0.0]."),
    Option("--port", "http.port", "PORT", "Port of the pages and the API; 0: any free one [default: 8000]."),
    Option("--media-port", "media.port", "PORT", "Port that players fetch media from [default: 8888]."),
    Option("--rtmp-port", "rtmp.port", "PORT", "Port that OBS and ffmpeg publish to [default: 1935]."),
    Option("--data-dir", "node.data_dir", "DIR", "Where this node keeps everything [default: ~/.airnode]."),
    Option("--redis-url", "redis.url", "URL", "redis://, rediss:// or unix:// address [default: an embedded Valkey]."),
    Option("--postgres-url", "postgres.url", "URL", "postgresql:// address [default: an embedded PostgreSQL]."),
    Option("--node-name", "node.name", "NAME", "Name people see for this node [default: the host name]."),
    Option("--node-host", "node.host", "HOST", "Host under which viewers and encoders reach this node."),
    Option("--master-url", "cluster.master_url", "URL", "Address of a master, for slaves and the pipeline's roles."),
    Option(
        "--rate", "pipeline.rate_per_s", "RATE", "Events a second that a producer makes; 0: all it can [default: 10.0]."
    ),
    Option("--topics", "pipeline.topics", "TOPICS", "What a consumer reads [default: users,products,orders]."),
    Option("--group", "pipeline.group", "NAME", "Consumer group [default: users_group, products_group, …]."),
    Option("--log-level", "log.level", "LEVEL", "debug, info, warning or error [default: info]."),
    Option("--log-format", "log.format", "FORMAT", "auto, console or json [default: auto]."),
)


#: {option: its help} for commands that work on stores: those of a node on this machine, or others.
_STORE_OPTIONS = {
    "--data-dir": "Data directory of the node on this machine whose own stores are meant [default: ~/.airnode].",
    "--redis-url": "redis://, rediss:// or unix:// address [default: that node's own Valkey].",
    "--postgres-url": "postgresql:// address [default: that node's own PostgreSQL].",
    "--master-url": "Address of a master whose stores are meant; with cluster.pipeline_token.",
    "--log-level": "debug, info, warning or error [default: warning].",
    "--log-format": "auto, console or json [default: auto].",
}


def config_options(command: Command) -> Command:
    """Return a click command with ``--config``, ``--set`` and the common options; :func:`loaded_from` reads them."""
    return _with(OPTIONS, command)


def store_options(**more: str) -> Callable[[Command], Command]:
    """Return a decorator as :func:`config_options` does, with only the options that stores need.

    Args:
        more: {name under which click passes another option: its help}.
    """
    helps = _STORE_OPTIONS | {f"--{param.replace('_', '-')}": text for param, text in more.items()}
    options = [replace(option, help=helps[option.name]) for option in OPTIONS if option.name in helps]
    return lambda command: _with(options, command)


def speech_options(command: Command) -> Command:
    """Return a click command as :func:`config_options` does, with only the options that speech needs."""
    helps = {
        "--data-dir": "Where models are kept, in the directory `models` [default: ~/.airnode].",
        "--log-level": "debug, info, warning or error [default: warning].",
    }
    return _with([replace(option, help=helps[option.name]) for option in OPTIONS if option.name in helps], command)


def _with(options: Sequence[Option], command: Command) -> Command:
    decorators = [
        click.option(
            "--config", "config", metavar="FILE", multiple=True, help="TOML file; may be repeated, later ones win."
        ),
        click.option(
            "--set", "set", metavar="KEY=VALUE", multiple=True, help="Any key, such as hls.segment_count=5; repeatable."
        ),
        *(click.option(option.name, option.param, metavar=option.metavar, help=option.help) for option in options),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def flags_from(params: Mapping[str, Any]) -> tuple[dict[str, Flag], list[ConfigProblem]]:
    """Return the flags among a command's parameters, and the problems of ``--set``. An option overrides ``--set``."""
    flags: dict[str, Flag] = {}
    problems: list[ConfigProblem] = []
    for text in params.get("set") or ():
        try:
            key, value = parse_set(text)
        except ConfigError as error:
            problems += [problem for problem in error.errors if isinstance(problem, ConfigProblem)]
        else:
            flags[key] = Flag(value, "--set")
    for option in OPTIONS:
        if params.get(option.param) is not None:
            flags[option.key] = Flag(params[option.param], option.name)
    return flags, problems


def files_from(params: Mapping[str, Any]) -> Sequence[Path]:
    """Return the files that ``--config`` names, in order."""
    return tuple(Path(name) for name in params.get("config") or ())


def loaded_from(
    params: Mapping[str, Any],
    *,
    env: Mapping[str, str] | None = None,
    role_keys: "RoleKeys | None" = None,
) -> "Loaded":
    """Return the configuration for a command that has :func:`config_options`.

    Args:
        params: ``click.get_current_context().params``, or the command's keyword arguments; others are ignored.
        env: the process's environment if None.
        role_keys: see :func:`airnode.config.load`.

    Raises:
        ConfigError: every problem at once.
    """
    from airnode.config import keys, loading

    flags, problems = flags_from(params)
    return loading.load(
        flags=flags,
        files=files_from(params),
        env=os.environ if env is None else env,
        role_keys=role_keys or keys.RoleKeys(),
        problems=problems,
    )
