"""``airnode keys``, without logic. Heavy modules are imported inside the commands."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import store_options

if TYPE_CHECKING:
    from airnode.store.api_keys import ApiKey, ApiKeys

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_CONTEXT)
def keys() -> None:
    """API keys of programs that have audio transcribed.

    Uses the configured PostgreSQL, or else that of the node that runs with --data-dir on this machine.

    \b
    Examples:
      airnode keys make "school portal"
      airnode keys list
      airnode keys revoke "school portal"
    """  # click reads \b as "keep these lines"


@keys.command("make")
@click.argument("name", metavar="NAME")
@click.option("--rate", "rate_per_s", type=click.FloatRange(min=0, min_open=True), help="Requests a second.")
@click.option("--daily-minutes", type=click.FloatRange(min=0), help="Minutes of audio a day (UTC).")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def make(name: str, rate_per_s: float | None, daily_minutes: float | None, as_json: bool, **params: Any) -> None:
    """Make a key and print it. It is shown only now: airnode keeps its SHA-256, not the key.

    A limit that is not given is the configuration's: auth.api_key_rate_per_s, auth.api_key_daily_minutes.

    \b
    Examples:
      airnode keys make "school portal"
      airnode keys make batch --daily-minutes 6000 --rate 2
    """  # click reads \b as "keep these lines"
    if not 1 <= len(name) <= 100:
        raise click.UsageError("The name has 1 to 100 characters.")
    made, text = _run(params, lambda found: found.make(name, rate_per_s=rate_per_s, daily_minutes=daily_minutes))
    if as_json:
        click.echo(json.dumps({**_document(made), "key": text}, indent=2))
    else:
        click.echo(text)
        click.echo(f"The key of {name!r}. Keep it: it is not shown again.", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def list_(as_json: bool, **params: Any) -> None:
    """List the keys: their names, limits, and when they were used last."""
    found: list[ApiKey] = _run(params, lambda table: table.all())
    if as_json:
        click.echo(json.dumps([_document(key) for key in found], indent=2))
        return
    if not found:
        click.echo("There are no API keys.")
        return
    from airnode.commands.dlq_view import columns

    rows = [("id", "name", "state", "used (UTC)", "requests/s", "minutes/day")]
    for key in found:
        state = "revoked" if key.revoked_at else "valid"
        used = f"{key.used_at:%Y-%m-%d %H:%M}" if key.used_at else "never"
        rows.append((key.key_id, key.name, state, used, _limit(key.rate_per_s), _limit(key.daily_minutes)))
    click.echo(columns(rows))


@keys.command("revoke")
@click.argument("name", metavar="NAME")
@store_options()
def revoke(name: str, **params: Any) -> None:
    """Revoke a key by its name or id. It opens nothing from now on; what it sent goes on."""
    _run(params, lambda found: found.revoke(name))
    click.echo(f"Revoked {name}.")


def _limit(value: float | None) -> str:
    return "default" if value is None else f"{value:g}"


def _document(key: "ApiKey") -> dict[str, Any]:
    def unix(moment: Any) -> float | None:
        return moment.timestamp() if moment is not None else None

    return {
        "id": key.key_id,
        "name": key.name,
        "rate_per_s": key.rate_per_s,
        "daily_minutes": key.daily_minutes,
        "used_at": unix(key.used_at),
        "revoked_at": unix(key.revoked_at),
    }


def _run(params: dict[str, Any], action: "Callable[[ApiKeys], Awaitable[Any]]") -> Any:
    """Return the result of ``action``, which gets the table of keys."""
    loaded = loaded_or_exit(params)
    from airnode.pipeline.access import PIPELINE_ACCESS
    from airnode.runtime import open_stores
    from airnode.runtime.resources import Resource
    from airnode.store.api_keys import ApiKeys
    from airnode.store.migrate import require_current

    async def done() -> Any:
        async with open_stores.open_stores(loaded.settings, PIPELINE_ACCESS, Resource.POSTGRES) as found:
            await require_current(found.postgres)
            return await action(ApiKeys(found.postgres))

    return open_stores.run(loaded, done())
