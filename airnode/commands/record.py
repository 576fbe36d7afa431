"""``airnode record`` and ``airnode admin``, without logic. Heavy modules are imported inside the commands."""

import json
import pathlib
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import store_options

if TYPE_CHECKING:
    from airnode.runtime.open_stores import OpenStores

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_PARTS = ("attendance", "chat", "questions", "polls", "hands")


@click.command(context_settings=_CONTEXT)
@click.argument("class_", metavar="CLASS")
@click.option("--session", "session_id", default="latest", show_default=True, help="Id of a session of the class.")
@click.option("--csv", "part", type=click.Choice(_PARTS), help="Write this part as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Write the whole record as JSON; with --list: the sessions.")
@click.option("--list", "listed", is_flag=True, help="List the sessions of the class (the default).")
@click.option("--lang", type=click.Choice(("en", "ko")), default="en", show_default=True, help="Of CSV headings.")
@click.option("--tz", default="UTC", show_default=True, help="Time zone of CSV, such as Asia/Seoul.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=pathlib.Path), help="Write to this file.")
@store_options()
def record(
    class_: str,
    session_id: str,
    part: str | None,
    as_json: bool,
    listed: bool,
    lang: str,
    tz: str,
    output: pathlib.Path | None,
    **params: Any,
) -> None:
    """Show the sessions of a class, or write the record of one: who attended, chat, questions, polls, hands.

    CLASS is its room or its class code. Uses the configured stores, or else those of the node that runs with --data-dir
    on this machine.

    \b
    Examples:
      airnode record math                                          its sessions
      airnode record math --csv attendance -o monday.csv           the latest one, for a spreadsheet
      airnode record K7QM2P --csv chat --lang ko --tz Asia/Seoul
      airnode record math --session 1b2c… --json | jq .attendance
    """  # click reads \b as "keep these lines"
    from airnode.commands import record_work

    if part and as_json:
        raise click.UsageError("Give --csv or --json.")
    wanted = record_work.Wanted(class_, session_id, part or "", as_json, listed, lang, tz)
    body = _run(params, lambda stores: record_work.write(stores, wanted))
    if output is not None:
        output.write_bytes(body)
    else:
        sys.stdout.buffer.write(body)


@click.group(context_settings=_CONTEXT)
def admin() -> None:
    """Work for administrators.

    \b
    Examples:
      airnode admin forget-user student-20231
      airnode admin forget-user student-20231 --yes --json
    """  # click reads \b as "keep these lines"


@admin.command("forget-user")
@click.argument("user_id", metavar="USER_ID")
@click.option("--yes", is_flag=True, help="Do it without a question.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def forget_user(user_id: str, yes: bool, as_json: bool, **params: Any) -> None:
    """Delete what is kept of one person: attendance, messages, questions, answers, hands and names.

    USER_ID is the id in the attendance table. Without --yes it says how much there is, and asks. Exit code 1: nothing
    was deleted. Recordings, votes as numbers, and text of others stay.

    \b
    Examples:
      airnode admin forget-user student-20231
      airnode admin forget-user student-20231 --yes
      airnode admin forget-user student-20231 --json               only count
    """  # click reads \b as "keep these lines"
    from airnode.classrecord import forgetting

    if not yes:
        traces = _run(params, lambda stores: forgetting.find_traces(stores.postgres, stores.bus, user_id))
        if as_json:
            click.echo(json.dumps({"user_id": user_id, "deleted": False, "found": dict(traces.counts)}, indent=2))
            sys.exit(1)
        if not traces.total:
            click.echo(f"Nothing is kept of {user_id}.")
            sys.exit(1)
        click.echo(_told(f"Would delete of {user_id}", traces.counts))
        if not sys.stdin.isatty():
            click.echo("Nothing was done: add --yes to do it.")
            sys.exit(1)
        if not click.confirm("Delete it for good?"):
            sys.exit(1)
    traces = _run(params, lambda stores: forgetting.forget(stores.postgres, stores.bus, user_id))
    deleted = bool(traces.total)
    if as_json:
        click.echo(json.dumps({"user_id": user_id, "deleted": deleted, "found": dict(traces.counts)}, indent=2))
    else:
        click.echo(_told(f"Deleted of {user_id}", traces.counts) if deleted else f"Nothing is kept of {user_id}.")
    if not deleted:
        sys.exit(1)


def _told(what: str, counts: Any) -> str:
    lines = [f"  {name.ljust(14)}{count:>8,}" for name, count in counts.items()]
    return "\n".join([f"{what}:", *lines])


def _run(params: dict[str, Any], action: Callable[["OpenStores"], Awaitable[Any]]) -> Any:
    """Return the result of ``action``, which gets open stores."""
    loaded = loaded_or_exit(params)
    from airnode.pipeline.access import PIPELINE_ACCESS
    from airnode.runtime import open_stores
    from airnode.runtime.resources import Resource
    from airnode.store.migrate import require_current

    async def done() -> Any:
        async with open_stores.open_stores(
            loaded.settings, PIPELINE_ACCESS, Resource.POSTGRES, Resource.REDIS
        ) as found:
            await require_current(found.postgres)
            return await action(found)

    return open_stores.run(loaded, done())
