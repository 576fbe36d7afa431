"""``airnode dlq``; no logic. What is heavy is imported inside the commands."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import store_options

if TYPE_CHECKING:
    from airnode.pipeline.admin.dlq import DeadLetterFilter, Selection

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_LISTED = 50
_REASONS = ("not_json", "invalid", "unknown_type", "unknown_version", "refused", "too_large", "unknown")

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(context_settings=_CONTEXT)
def dlq() -> None:
    """Look at dead letters: records that could not be landed. Publish them again, or throw them away.

    \b
    Examples:
      airnode dlq list --since 1h
      airnode dlq show 3f2a9c10
      airnode dlq replay --reason refused --yes
      airnode dlq drop --topic orders --reason not_json
    """  # click reads \b as "keep these lines"


def _filters(command: Command) -> Command:
    for option in (
        click.option("--limit", type=click.IntRange(min=1), help="At most so many."),
        click.option("--since", metavar="AGE|TIME", help="Died since, such as 90m, 7d or 2026-11-22T05:00."),
        click.option("--reason", type=click.Choice(_REASONS), help="That died of this."),
        click.option("--topic", help="Of this topic."),
    ):
        command = option(command)
    return command


@dlq.command("list")
@_filters
@click.option("--replayed", is_flag=True, help="Those too that were replayed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def list_(as_json: bool, replayed: bool, limit: int | None, **params: Any) -> None:
    """List dead letters, the newest first; 50 of them where --limit does not say otherwise.

    \b
    Examples:
      airnode dlq list
      airnode dlq list --topic orders --reason refused --since 7d --json
    """  # click reads \b as "keep these lines"
    from airnode.commands import dlq_view
    from airnode.pipeline.admin import dlq as work

    wanted = _filter(params, limit=limit or _LISTED, replayed=replayed)
    letters = _run(params, lambda stores: work.find(stores.postgres, wanted))
    click.echo(dlq_view.as_json(letters) if as_json else dlq_view.table(letters))


@dlq.command()
@click.argument("letter_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def show(letter_id: str, as_json: bool, **params: Any) -> None:
    """Show all of one dead letter; the first characters of its id do.

    \b
    Examples:
      airnode dlq show 3f2a9c10
    """  # click reads \b as "keep these lines"
    from airnode.commands import dlq_view
    from airnode.pipeline.admin import dlq as work

    letter = _run(params, lambda stores: work.find_one(stores.postgres, letter_id))
    click.echo(json.dumps(dlq_view.document(letter), indent=2) if as_json else dlq_view.page(letter))


@dlq.command()
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were not replayed yet.")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options()
def replay(ids: tuple[str, ...], everything: bool, limit: int | None, yes: bool, **params: Any) -> None:
    """Publish dead letters to their topics again, once what was wrong is mended.

    One that dies again comes back with a count one higher. Several are asked for first, unless --yes is given.

    \b
    Examples:
      airnode dlq replay 3f2a9c10
      airnode dlq replay --topic orders --since 1h
      airnode dlq replay --all --yes
    """  # click reads \b as "keep these lines"
    from airnode.commands import dlq_view
    from airnode.pipeline.admin import dlq as work

    wanted = _some(ids, everything, params, limit, replayed=bool(ids))
    chosen = _run(params, lambda stores: work.select(stores.postgres, wanted))
    _agree(chosen, "replay", yes=yes or len(ids) == 1)
    count = _run(params, lambda stores: work.replay(stores.postgres, stores.event_log, chosen), with_log=True)
    left = len(chosen.ids) - count
    click.echo(f"Replayed {dlq_view.letters(count)}.")
    if left:
        click.echo(f"{left} left as they were: cut short (too_large), of no topic of ours, or taken by another.")
    sys.exit(1 if left else 0)


@dlq.command()
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All, replayed or not.")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options()
def drop(ids: tuple[str, ...], everything: bool, limit: int | None, yes: bool, **params: Any) -> None:
    """Throw dead letters away, for good; asks first, unless --yes is given.

    \b
    Examples:
      airnode dlq drop 3f2a9c10
      airnode dlq drop --reason not_json --yes
    """  # click reads \b as "keep these lines"
    from airnode.commands import dlq_view
    from airnode.pipeline.admin import dlq as work

    wanted = _some(ids, everything, params, limit, replayed=True)
    chosen = _run(params, lambda stores: work.select(stores.postgres, wanted))
    _agree(chosen, "drop", yes=yes)
    count = _run(params, lambda stores: work.drop(stores.postgres, chosen))
    click.echo(f"Dropped {dlq_view.letters(count)}.")


def _filter(
    params: dict[str, Any], *, limit: int | None, replayed: bool, ids: tuple[str, ...] = ()
) -> "DeadLetterFilter":
    """Takes the options of :func:`_filters` out of the parameters; those of the configuration stay."""
    from datetime import UTC, datetime

    from airnode.pipeline.admin.dlq import DeadLetterFilter, parse_since

    since = params.pop("since")
    moment = parse_since(since, datetime.now(UTC)) if since else None
    return DeadLetterFilter(ids, params.pop("topic"), params.pop("reason"), moment, replayed, limit)


def _some(
    ids: tuple[str, ...], everything: bool, params: dict[str, Any], limit: int | None, *, replayed: bool
) -> "DeadLetterFilter":
    """Raises UsageError where nobody said which."""
    narrowed = any(params[name] for name in ("topic", "reason", "since"))
    if bool(ids) + everything > 1 or (ids and narrowed):
        raise click.UsageError("Give ids, or filters, or --all.")
    if not (ids or narrowed or everything or limit):
        raise click.UsageError("Which ones? Give ids, --topic, --reason, --since, --limit or --all.")
    return _filter(params, limit=limit, replayed=replayed, ids=ids)


def _agree(chosen: "Selection", what: str, *, yes: bool) -> None:
    """Go on, or end here: nothing to do, or nobody agreed."""
    from airnode.commands import dlq_view

    if not chosen.ids:
        click.echo(f"No dead letters to {what}.")
        sys.exit(0)
    if yes:
        return
    click.echo(f"Would {what} {dlq_view.letters(len(chosen.ids))}:\n{dlq_view.summary(chosen)}")
    if not sys.stdin.isatty():
        click.echo("Nothing was done: add --yes to do it.")
        sys.exit(1)
    if not click.confirm(f"{what.capitalize()} them?"):
        sys.exit(1)


def _run(params: dict[str, Any], doing: Callable[[Any], Any], *, with_log: bool = False) -> Any:
    """Do something on the stores."""
    loaded = loaded_or_exit(params)
    from airnode.pipeline.access import PIPELINE_ACCESS
    from airnode.runtime import open_stores
    from airnode.runtime.resources import Resource
    from airnode.store.migrate import require_current

    async def done() -> Any:
        wanted = (Resource.POSTGRES, Resource.EVENT_LOG) if with_log else (Resource.POSTGRES,)
        async with open_stores.open_stores(loaded.settings, PIPELINE_ACCESS, *wanted) as stores:
            await require_current(stores.postgres)
            return await doing(stores)

    return open_stores.run(loaded, done())
