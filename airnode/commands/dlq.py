"""The command ``airnode dlq``, without logic. Heavy modules are imported inside the commands."""

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
    """Inspect dead letters (records that could not be inserted), publish them again, or delete them.

    \b
    Examples:
      airnode dlq list --since 1h
      airnode dlq show 3f2a9c10
      airnode dlq replay --reason refused --yes
      airnode dlq drop --topic orders --reason not_json
    """  # click reads \b as "keep these lines"


def _filters(command: Command) -> Command:
    for option in (
        click.option("--limit", type=click.IntRange(min=1), help="Largest number."),
        click.option("--since", metavar="AGE|TIME", help="Not older than this, such as 90m, 7d or 2026-11-22T05:00."),
        click.option("--reason", type=click.Choice(_REASONS), help="With this reason."),
        click.option("--topic", help="From this topic."),
    ):
        command = option(command)
    return command


@dlq.command("list")
@_filters
@click.option("--replayed", is_flag=True, help="Include letters that were replayed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def list_(as_json: bool, replayed: bool, limit: int | None, **params: Any) -> None:
    """List dead letters, the newest first; 50 without --limit.

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
    """Show one dead letter in full; the first characters of its id are enough.

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
@click.option("--all", "everything", is_flag=True, help="All letters that were not replayed yet.")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options()
def replay(ids: tuple[str, ...], everything: bool, limit: int | None, yes: bool, **params: Any) -> None:
    """Publish dead letters to their topics again, after the cause is fixed.

    A letter that fails again comes back with one more attempt. Asks before replaying several, unless --yes is given.

    \b
    Examples:
      airnode dlq replay 3f2a9c10
      airnode dlq replay --topic orders --since 1h
      airnode dlq replay --all --yes
    """  # click reads \b as "keep these lines"
    from airnode.commands import dlq_view
    from airnode.pipeline.admin import dlq as work

    wanted = _required_filter(ids, everything, params, limit, replayed=bool(ids))
    selection = _run(params, lambda stores: work.select(stores.postgres, wanted))
    _confirm(selection, "replay", yes=yes or len(ids) == 1)
    count = _run(params, lambda stores: work.replay(stores.postgres, stores.event_log, selection), with_log=True)
    left = len(selection.ids) - count
    click.echo(f"Replayed {dlq_view.letters(count)}.")
    if left:
        click.echo(f"{left} left as they were: shortened (too_large), of another topic, or replayed by somebody else.")
    sys.exit(1 if left else 0)


@dlq.command()
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All letters, replayed or not.")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options()
def drop(ids: tuple[str, ...], everything: bool, limit: int | None, yes: bool, **params: Any) -> None:
    """Delete dead letters for good; asks first, unless --yes is given.

    \b
    Examples:
      airnode dlq drop 3f2a9c10
      airnode dlq drop --reason not_json --yes
    """  # click reads \b as "keep these lines"
    from airnode.commands import dlq_view
    from airnode.pipeline.admin import dlq as work

    wanted = _required_filter(ids, everything, params, limit, replayed=True)
    selection = _run(params, lambda stores: work.select(stores.postgres, wanted))
    _confirm(selection, "drop", yes=yes)
    count = _run(params, lambda stores: work.drop(stores.postgres, selection))
    click.echo(f"Dropped {dlq_view.letters(count)}.")


def _filter(
    params: dict[str, Any], *, limit: int | None, replayed: bool, ids: tuple[str, ...] = ()
) -> "DeadLetterFilter":
    """Return the filter, and remove its options from ``params``, which keeps those of the configuration."""
    from datetime import UTC, datetime

    from airnode.pipeline.admin.dlq import DeadLetterFilter, parse_since

    since = params.pop("since")
    moment = parse_since(since, datetime.now(UTC)) if since else None
    return DeadLetterFilter(ids, params.pop("topic"), params.pop("reason"), moment, replayed, limit)


def _required_filter(
    ids: tuple[str, ...], everything: bool, params: dict[str, Any], limit: int | None, *, replayed: bool
) -> "DeadLetterFilter":
    """Return the filter. Raises UsageError if nothing was selected."""
    narrowed = any(params[name] for name in ("topic", "reason", "since"))
    if bool(ids) + everything > 1 or (ids and narrowed):
        raise click.UsageError("Give ids, or filters, or --all.")
    if not (ids or narrowed or everything or limit):
        raise click.UsageError("Which ones? Give ids, --topic, --reason, --since, --limit or --all.")
    return _filter(params, limit=limit, replayed=replayed, ids=ids)


def _confirm(selection: "Selection", what: str, *, yes: bool) -> None:
    """Return if there is something to do and it is confirmed; otherwise exit."""
    from airnode.commands import dlq_view

    if not selection.ids:
        click.echo(f"No dead letters to {what}.")
        sys.exit(0)
    if yes:
        return
    click.echo(f"Would {what} {dlq_view.letters(len(selection.ids))}:\n{dlq_view.summary(selection)}")
    if not sys.stdin.isatty():
        click.echo("Nothing was done: add --yes to do it.")
        sys.exit(1)
    if not click.confirm(f"{what.capitalize()} them?"):
        sys.exit(1)


def _run(params: dict[str, Any], action: Callable[[Any], Any], *, with_log: bool = False) -> Any:
    """Return the result of ``action``, which gets open stores."""
    loaded = loaded_or_exit(params)
    from airnode.pipeline.access import PIPELINE_ACCESS
    from airnode.runtime import open_stores
    from airnode.runtime.resources import Resource
    from airnode.store.migrate import require_current

    async def done() -> Any:
        wanted = (Resource.POSTGRES, Resource.EVENT_LOG) if with_log else (Resource.POSTGRES,)
        async with open_stores.open_stores(loaded.settings, PIPELINE_ACCESS, *wanted) as stores:
            await require_current(stores.postgres)
            return await action(stores)

    return open_stores.run(loaded, done())
