"""``airnode pipeline``, ``seed`` and ``cache-monitor``, without logic. Heavy modules are imported inside commands."""

import json
import sys
from typing import Any

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import store_options

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_CONTEXT)
def pipeline() -> None:
    """Prepare the data pipeline, and list the groups that read its events.

    \b
    Examples:
      airnode pipeline init
      airnode pipeline groups
    """  # click reads \b as "keep these lines"


@pipeline.command()
@click.option("--grow", is_flag=True, help="Add partitions to topics that have too few; stop producers first.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def init(grow: bool, as_json: bool, **params: Any) -> None:
    """Create the database schema and the topics of the event log; existing ones stay unchanged.

    Uses the configured stores, or else those of the node that runs with --data-dir on this machine.

    \b
    Examples:
      airnode pipeline init
      airnode pipeline init --set kafka.bootstrap='["10.0.0.5:9092"]' --postgres-url postgresql://...
      airnode pipeline init --grow --set eventlog.partitions=6
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import pipeline_work
    from airnode.runtime import open_stores

    document = open_stores.run(loaded, pipeline_work.init(loaded.settings, grow=grow))
    click.echo(json.dumps(document, indent=2) if as_json else pipeline_work.init_text(document))


@pipeline.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def groups(as_json: bool, **params: Any) -> None:
    """List the groups that read the event log in Redis, with their members and their lag.

    Unread events are kept for each group; at eventlog.stream_max_records in a partition, producers wait.
    On Kafka, use its kafka-consumer-groups.sh.

    \b
    Examples:
      airnode pipeline groups
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import pipeline_work
    from airnode.runtime import open_stores

    found = open_stores.run(loaded, pipeline_work.groups(loaded.settings))
    click.echo(
        json.dumps(pipeline_work.groups_document(found), indent=2) if as_json else pipeline_work.groups_table(found)
    )


@pipeline.command()
@click.argument("group")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options()
def forget(group: str, yes: bool, **params: Any) -> None:
    """Forget a group that is no longer used, and the events that only this group has not read.

    A group that comes back starts with the remaining events.

    \b
    Examples:
      airnode pipeline forget trial_group
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import pipeline_work
    from airnode.runtime import open_stores

    behind = open_stores.run(loaded, pipeline_work.unread(loaded.settings, group))
    if not yes:
        question = f"{group} has not read {behind:,} event{'s' * (behind != 1)}. Forget it?"
        if not sys.stdin.isatty():
            click.echo(f"{question} Nothing was done: add --yes to do it.")
            sys.exit(1)
        click.confirm(question, abort=True)
    open_stores.run(loaded, pipeline_work.forget(loaded.settings, group))
    click.echo(f"Forgot {group}.")


@click.command(context_settings=_CONTEXT)
@click.option("--users", default=10_000, show_default=True, type=click.IntRange(0, 100_000_000), help="Customers.")
@click.option("--products", default=20_000, show_default=True, type=click.IntRange(0, 100_000_000), help="Courses.")
@click.option("--seed", "number", default=1, show_default=True, type=int, help="Seed of the generated rows.")
@click.option("--follow", "following", is_flag=True, help="Then register --rate customers per second, until Ctrl+C.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --follow one line per second.")
@store_options(rate="With --follow: new customers per second; 0: as many as possible [default: 10.0].")
def seed(users: int, products: int, number: int, following: bool, as_json: bool, **params: Any) -> None:
    """Fill the tables with generated customers and courses, Korean and English.

    Ids start at 1 and existing rows stay unchanged: running it again adds nothing, a higher count adds the missing
    rows. With --follow, each new customer has a user.registered event, which a producer publishes.

    Uses the configured database, or else that of the node that runs with --data-dir on this machine.

    \b
    Examples:
      airnode seed
      airnode seed --users 100000 --products 200000 --seed 7
      airnode seed --follow --rate 5
      airnode seed --postgres-url postgresql://airnode@10.0.0.5/airnode --json
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import seed
    from airnode.runtime import open_stores

    open_stores.run(loaded, seed.run(loaded.settings, users, products, number, following=following, as_json=as_json))


@click.command("cache-monitor", context_settings=_CONTEXT)
@click.option(
    "--interval",
    "interval_s",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Seconds between two lines.",
)
@click.option("--once", is_flag=True, help="Print once and exit.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one line each time.")
@store_options()
def cache_monitor(interval_s: float, once: bool, as_json: bool, **params: Any) -> None:
    """Show the cache of users and products, live: time since the last refresh, memory, load, hits, rows, refreshes.

    HIT is the hit ratio of the readers of all processes; '-' before the first read. Ctrl+C ends it. With --once the
    exit code is 1 if Redis does not answer.

    Uses the configured Redis, or else that of the node that runs with --data-dir on this machine.

    \b
    Examples:
      airnode cache-monitor
      airnode cache-monitor --redis-url redis://10.0.0.5
      airnode cache-monitor --once --json | jq .hit_ratio
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import cache_monitor
    from airnode.runtime import open_stores

    sys.exit(open_stores.run(loaded, cache_monitor.run(loaded.settings, interval_s, once=once, as_json=as_json)))
