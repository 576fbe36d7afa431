"""The ``airnode`` command, without logic. Heavy modules are imported inside the commands."""

import pathlib
import sys
from typing import TYPE_CHECKING, Any

import click

import airnode
from airnode.commands.config import ROLE_KEYS, config, loaded_or_exit
from airnode.commands.dlq import dlq
from airnode.commands.jobs import jobs
from airnode.commands.keys import keys
from airnode.commands.models import models
from airnode.commands.options import config_options
from airnode.commands.pipeline import cache_monitor, pipeline, seed
from airnode.commands.record import admin, record
from airnode.commands.transcribe import transcribe
from airnode.errors import AirnodeError

if TYPE_CHECKING:
    from airnode.config.keys import RoleKeys
    from airnode.config.loading import Loaded

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


#: The roles of --demo-pipeline. The first one creates the rows that the others use, so it starts first.
_DEMO = ("demo-pipeline", "cache-worker", "producer", "consumer")


#: Command names that people may try in order to start a node.
_START_WORDS = frozenset({"start", "run", "serve", "up"})


def _role_names() -> set[str]:
    from airnode.runtime.registry import installed

    return {found.role.name for found in installed()}


def _role_keys() -> "RoleKeys":
    from airnode.runtime.registry import role_keys

    return role_keys()


class _Group(click.Group):
    """The commands. If a role's name is given as a command, the error suggests ``--role``."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            role = args[0] if args[0] in _role_names() else "standalone" if args[0] in _START_WORDS else ""
            if not role:
                raise
            raise click.UsageError(
                f"There is no command {args[0]!r}; did you mean --role {role}?", ctx=context
            ) from None


@click.group(cls=_Group, invoke_without_command=True, context_settings=_CONTEXT)
@click.option(
    "--role", "roles", metavar="NAME[,NAME...]", multiple=True, help="What this node does; `airnode roles` lists them."
)
@click.option(
    "--demo-pipeline", is_flag=True, help="Also run the data pipeline on made-up customers and courses; see the README."
)
@config_options
@click.version_option(airnode.__version__, prog_name="airnode")
@click.pass_context
def cli(context: click.Context, /, roles: tuple[str, ...], demo_pipeline: bool, **params: Any) -> None:
    """A live classroom in one binary.

    \b
    Examples:
      airnode --role standalone                      everything on this machine
      airnode --role standalone --port 80            ... with the pages on port 80
      airnode --role standalone --demo-pipeline      ... and orders flowing through the data pipeline
      airnode --role master --config airnode.toml    one role of a cluster
      airnode config check --config airnode.toml     is the configuration right?
      airnode health http://localhost:8000           is that node well?
      airnode top                                    nodes, streams and viewers, live
      airnode transcribe lecture.mp4                 what is said in it, on this machine
    """
    context.meta[ROLE_KEYS] = _role_keys
    if context.invoked_subcommand is not None:
        return
    if not roles and not demo_pipeline:
        if any(params.values()):  # somebody wanted to start a node
            raise click.UsageError("Give a role, e.g. --role standalone; `airnode roles` lists them.")
        click.echo(context.get_help())
        return
    names = [name for text in roles for name in text.split(",") if name.strip()]
    if demo_pipeline:
        names = [*(names or ["standalone"]), *_DEMO]
    sys.exit(_run(names, loaded_or_exit(params)))


def _run(names: list[str], loaded: "Loaded") -> int:
    from airnode.runtime.main import run

    return run(names, loaded)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def roles(as_json: bool) -> None:
    """List the roles: what they do, need and include, and which package brings them.

    \b
    Examples:
      airnode roles
      airnode roles --json
    """
    from airnode.commands.roles import as_json_text, as_table, rows

    click.echo(as_json_text(rows()) if as_json else as_table(rows()))


@cli.command()
@click.argument("url", default="")
@click.option("--data-dir", metavar="DIR", help="Ask the node on this machine that keeps its data there.")
@click.option("--ready", is_flag=True, help="Ask for readiness rather than health.")
@click.option("--timeout", "timeout_s", default=3.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def health(url: str, data_dir: str | None, ready: bool, timeout_s: float, as_json: bool) -> None:
    """Ask a node how it is; exit code 0 when it is well, 1 when not (for Compose and systemd).

    URL is http://localhost:8000 unless it is given.

    \b
    Examples:
      airnode health
      airnode health http://10.0.0.5:8000 --ready
      airnode health --data-dir /var/lib/airnode     whatever its port is
    """
    from airnode.commands.health import check_default, check_local, check_url

    if data_dir is not None:
        answer = check_local(pathlib.Path(data_dir).expanduser(), ready=ready, timeout_s=timeout_s)
    elif url:
        answer = check_url(url, ready=ready, timeout_s=timeout_s)
    else:
        answer = check_default(ready=ready, timeout_s=timeout_s)
    click.echo(answer.json() if as_json else answer.text())
    sys.exit(0 if answer.ok else 1)


@cli.command()
@click.argument("url", default="")
@click.option(
    "--secret",
    "--token",
    "secret",
    envvar=["AIRNODE_CLUSTER__TOKEN", "AIRNODE_AUTH__ADMIN_SECRET"],
    default="",
    help="Cluster token, admin's or teacher's secret [default: AIRNODE_CLUSTER__TOKEN, or that of the node here].",
)
@click.option("--data-dir", default="~/.airnode", show_default=True, help="Of the node on this machine.")
@click.option("--interval", "interval_s", default=1.0, show_default=True, help="Seconds between two polls.")
@click.option("--once", is_flag=True, help="Look once and print it.")
@click.option("--json", "as_json", is_flag=True, help="With --once: as JSON.")
def top(url: str, secret: str, data_dir: str, interval_s: float, once: bool, as_json: bool) -> None:
    """Show nodes, streams, viewers, load and alarms of a cluster, live; Ctrl+C ends it.

    URL is the address of a master; without one, it is the node that runs on this machine. With --once, the exit code is
    1 when the master does not answer.

    \b
    Examples:
      airnode top                                           the node on this machine
      airnode top --data-dir /var/lib/airnode
      AIRNODE_CLUSTER__TOKEN=$(cat token) airnode top https://school.example
      airnode top --once --json | jq .alarms
    """
    from airnode.commands import top as view

    target = view.find_target(url, secret, pathlib.Path(data_dir))
    if once or as_json:
        shot = view.poll(target, None, 3.0)
        click.echo(shot.json()) if as_json else view.print_once(shot)
        sys.exit(1 if shot.error else 0)
    try:
        view.run(target, max(interval_s, 0.1))
    except KeyboardInterrupt:
        sys.exit(0)


cli.add_command(config)
cli.add_command(pipeline)
cli.add_command(seed)
cli.add_command(cache_monitor)
cli.add_command(dlq)
cli.add_command(record)
cli.add_command(admin)
cli.add_command(transcribe)
cli.add_command(models)
cli.add_command(keys)
cli.add_command(jobs)


def main() -> None:
    """Run the command. An :class:`AirnodeError` is printed as one sentence, and the exit code is 2."""
    try:
        cli()
    except AirnodeError as error:
        click.echo(str(error) if str(error).startswith("airnode:") else f"airnode: {error}", err=True)
        sys.exit(2)
