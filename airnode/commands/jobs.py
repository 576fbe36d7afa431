"""The command ``airnode jobs``, without logic. Heavy modules are imported inside the commands."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_STATES = ("waiting", "delayed", "active", "waiting-children", "completed", "failed", "cancelled")

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(context_settings=_CONTEXT)
def jobs() -> None:
    """See the job queues of a master and their workers; retry and cancel jobs.

    Asks the node that runs on this machine, or the master at --url.

    \b
    Examples:
      airnode jobs list
      airnode jobs list long-files --state failed
      airnode jobs show long-files 5f0c2a
      airnode jobs retry long-files 5f0c2a
      airnode jobs cancel long-files 5f0c2a --json
    """  # click reads \b as "keep these lines"


def _master(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="As JSON."),
        click.option("--data-dir", default="~/.airnode", show_default=True, help="Of the node on this machine."),
        click.option(
            "--secret",
            envvar=["AIRNODE_CLUSTER__TOKEN", "AIRNODE_AUTH__ADMIN_SECRET"],
            default="",
            help="Cluster token or admin's secret [default: AIRNODE_CLUSTER__TOKEN, or that of the node here].",
        ),
        click.option("--url", default="", help="Address of a master [default: the node on this machine]."),
    ):
        command = option(command)
    return command


@jobs.command("list")
@click.argument("queue", default="")
@click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state; failed lists cancelled ones too.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(min=0), help="Number of the first job.")
@click.option("--count", default=50, show_default=True, type=click.IntRange(1, 200), help="How many jobs at most.")
@_master
def list_(queue: str, state: str | None, first: int, count: int, **params: Any) -> None:
    """List all queues and workers, or the jobs of QUEUE.

    \b
    Examples:
      airnode jobs list
      airnode jobs list short-files --state active
      airnode jobs list --json | jq '.queues[] | select(.workers == 0)'
    """  # click reads \b as "keep these lines"
    from airnode.commands import jobs_client as client

    if queue:
        query: dict[str, str | int] = {"state": state or "", "first": first, "count": count}
        _show(client.listed, client.ask(_target(params), "GET", client.path(queue), query), params)
    else:
        _show(client.overview, client.ask(_target(params), "GET", client.path()), params)


@jobs.command()
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@_master
def show(queue: str, job_id: str, **params: Any) -> None:
    """Show a job: its state, data and result, and the traceback of a failure.

    \b
    Examples:
      airnode jobs show long-files 5f0c2a
    """  # click reads \b as "keep these lines"
    from airnode.commands import jobs_client as client

    _show(client.detail, client.ask(_target(params), "GET", client.path(queue, job_id)), params)


@jobs.command()
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@_master
def retry(queue: str, job_id: str, **params: Any) -> None:
    """Work a job that has ended again, with those of its children that failed.

    \b
    Examples:
      airnode jobs retry long-files 5f0c2a
    """  # click reads \b as "keep these lines"
    from airnode.commands import jobs_client as client

    _show(client.line, client.ask(_target(params), "POST", client.path(queue, job_id, "retry")), params)


@jobs.command()
@click.argument("queue")
@click.argument("job_id", metavar="ID")
@_master
def cancel(queue: str, job_id: str, **params: Any) -> None:
    """Cancel a job and its children. Exit code 1: it had ended already.

    \b
    Examples:
      airnode jobs cancel long-files 5f0c2a
    """  # click reads \b as "keep these lines"
    from airnode.commands import jobs_client as client

    job = client.ask(_target(params), "DELETE", client.path(queue, job_id))
    _show(client.line, job, params)
    if client.has_ended_otherwise(job):
        sys.exit(1)


def _target(params: dict[str, Any]) -> Any:
    from airnode.commands import jobs_client as client

    return client.find_admin_target(params["url"], params["secret"], Path(params["data_dir"]).expanduser())


def _show(render: Callable[[bytes], str], answer: bytes, params: dict[str, Any]) -> None:
    """Print an answer as text, or as the JSON that it is."""
    if params["as_json"]:
        import msgspec

        click.echo(msgspec.json.format(answer, indent=2))
    else:
        click.echo(render(answer))
