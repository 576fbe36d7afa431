"""``airnode config``: show, check, defaults, schema. Heavy modules are imported inside the commands."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from airnode.commands.options import config_options, loaded_from
from airnode.errors import ConfigError

if TYPE_CHECKING:
    from airnode.config.keys import RoleKeys
    from airnode.config.loading import Loaded

#: The program stores under this key of ``click.Context.meta`` a function that returns the configuration keys of roles.
ROLE_KEYS = "airnode.config.role_keys"


class ConfigFailed(click.ClickException):
    """An invalid configuration: all problems on standard error, exit code 2."""

    exit_code = 2

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Print text that is formatted for a terminal already."""
        stream = file or sys.stderr
        first, newline, rest = self.message.partition("\n")
        click.echo(painter(stream)(first, "red") + newline + rest, file=stream, color=True)


def painter(stream: IO[Any]) -> Callable[[str, str], str]:
    """Return a function that colours text where ``stream`` is a terminal and ``NO_COLOR`` is not set."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda text, _colour: text
    return lambda text, colour: click.style(text, dim=True) if colour == "dim" else click.style(text, fg=colour)


def loaded_or_exit(params: Mapping[str, Any]) -> "Loaded":
    """Return the configuration for the running command. If it is invalid, the command ends with exit code 2.

    Raises:
        ConfigFailed: click prints it and exits.
    """
    try:
        return loaded_from(_with_outer(params), role_keys=role_keys())
    except ConfigError as error:
        raise ConfigFailed(error) from error


def _with_outer(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters together with those before the command's name: ``airnode --port 80 config show``."""
    merged = dict(params)
    context = click.get_current_context().parent
    while context is not None:
        for name, value in context.params.items():
            if isinstance(value, tuple):
                merged[name] = (*value, *(merged.get(name) or ()))
            elif merged.get(name) is None:
                merged[name] = value
        context = context.parent
    return merged


def role_keys() -> "RoleKeys":
    """Return the keys that the program's roles add to the configuration; no keys without a program."""
    from airnode.config.keys import RoleKeys

    found: Callable[[], RoleKeys] = click.get_current_context().meta.get(ROLE_KEYS, RoleKeys)
    return found()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Show and check the configuration.

    Flags beat the environment, the environment beats files, files beat the defaults.

    \b
    Examples:
      airnode config show --changed
      airnode config check --config airnode.toml
      airnode config defaults > airnode.toml
    """  # click reads \b as "keep these lines"


@config.command()
@config_options
@click.option("--changed", is_flag=True, help="Only what is not at its default.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: {key: {value, origin}}.")
def show(changed: bool, as_json: bool, **params: Any) -> None:
    """Print every value with where it came from; secrets are masked.

    \b
    Examples:
      airnode config show
      airnode config show --config airnode.toml --changed
      REDIS_URL=redis://10.0.0.5 airnode config show --json
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.config import render

    if as_json:
        click.echo(render.show_json(loaded, changed=changed))
    elif text := render.show(loaded, changed=changed, paint=painter(sys.stdout)):
        click.echo(text, color=True)


@config.command()
@config_options
@click.option("--json", "as_json", is_flag=True, help="As JSON: {valid, files, warnings, problems}.")
def check(as_json: bool, **params: Any) -> None:
    """Check the configuration and start nothing; exit code 0 if it is valid, else 2.

    \b
    Examples:
      airnode config check --config airnode.toml
      airnode config check --config base.toml --config site.toml --json
    """  # click reads \b as "keep these lines"
    from airnode.config import render

    if not as_json:
        click.echo(render.check(loaded_or_exit(params)))
        return
    try:
        click.echo(render.check_json(loaded_or_exit(params)))
    except ConfigFailed as failed:
        click.echo(render.check_json(failed.error))
        sys.exit(ConfigFailed.exit_code)


@config.command()
def defaults() -> None:
    """Print a configuration file with every key, its meaning and its default.

    \b
    Examples:
      airnode config defaults > airnode.toml
    """  # click reads \b as "keep these lines"
    from airnode.config import keys, render

    click.echo(render.defaults(keys.index_of(role_keys())), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON schema of a configuration file, for editors.

    \b
    Examples:
      airnode config schema > airnode.schema.json
    """  # click reads \b as "keep these lines"
    from airnode.config import keys, render

    click.echo(render.schema(keys.index_of(role_keys())))
