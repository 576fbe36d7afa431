"""``airnode pipeline``, ``airnode seed``, ``airnode cache-monitor``; no logic. What is heavy is imported inside."""

import json
import sys
from typing import Any

import click

from airnode.commands.config import loaded_or_exit
from airnode.commands.options import store_options

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=_CONTEXT)
def pipeline() -> None:
    """Prepare the data pipeline, and see who reads its events.

    \b
    Examples:
      airnode pipeline init
      airnode pipeline groups
    """  # click reads \b as "keep these lines"


@pipeline.command()
@click.option("--grow", is_flag=True, help="Give topics that have too few partitions more; stop producers before.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def init(grow: bool, as_json: bool, **params: Any) -> None:
    """Make the database's schema and the topics of the event log; what is there stays.

    Works on the configured stores, or else on those of the node that runs with --data-dir on this machine.

    \b
    Examples:
      airnode pipeline init
      airnode pipeline init --set kafka.bootstrap='["10.0.0.5:9092"]' --postgres-url postgresql://...
      airnode pipeline init --grow --set eventlog.partitions=6
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import pipeline_init
    from airnode.runtime import open_stores

    document = open_stores.run(loaded, pipeline_init.run(loaded.settings, grow=grow))
    click.echo(json.dumps(document, indent=2) if as_json else pipeline_init.text(document))


@pipeline.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@store_options()
def groups(as_json: bool, **params: Any) -> None:
    """List who reads the event log in the Redis, how many they are, and how far they are behind.

    What a group has not read is kept for it; beyond eventlog.stream_max_records in a partition, producers wait.
    On Kafka, see its kafka-consumer-groups.sh.

    \b
    Examples:
      airnode pipeline groups
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import pipeline_groups
    from airnode.runtime import open_stores

    found = open_stores.run(loaded, pipeline_groups.groups(loaded.settings))
    click.echo(json.dumps(pipeline_groups.document(found), indent=2) if as_json else pipeline_groups.table(found))


@pipeline.command()
@click.argument("group")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options()
def forget(group: str, yes: bool, **params: Any) -> None:
    """Forget a group that nobody runs any more: events that only it has not read are let go.

    A group that comes back begins with what is left.

    \b
    Examples:
      airnode pipeline forget trial_group
    """  # click reads \b as "keep these lines"
    loaded = loaded_or_exit(params)
    from airnode.commands import pipeline_groups
    from airnode.runtime import open_stores

    behind = open_stores.run(loaded, pipeline_groups.unread(loaded.settings, group))
    if not yes:
        question = f"{group} has not read {behind:,} event{'s' * (behind != 1)}. Forget it?"
        if not sys.stdin.isatty():
            click.echo(f"{question} Nothing was done: add --yes to do it.")
            sys.exit(1)
        click.confirm(question, abort=True)
    open_stores.run(loaded, pipeline_groups.forget(loaded.settings, group))
    click.echo(f"Forgot {group}.")


@click.command(context_settings=_CONTEXT)
@click.option("--users", default=10_000, show_default=True, type=click.IntRange(0, 100_000_000), help="Customers.")
@click.option("--products", default=20_000, show_default=True, type=click.IntRange(0, 100_000_000), help="Courses.")
@click.option("--seed", "number", default=1, show_default=True, type=int, help="Other numbers make other rows.")
@click.option("--follow", "following", is_flag=True, help="Then go on: --rate new customers a second, until Ctrl+C.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --follow a line a second.")
@store_options(rate="With --follow: new customers a second; 0: all that can be written [default: 10.0].")
def seed(users: int, products: int, number: int, following: bool, as_json: bool, **params: Any) -> None:
    """Fill the tables with made-up customers and courses, Korean and English.

    Rows are made under the ids from 1 on; those that are there stay, so running it again adds nothing, and a higher
    count adds what is missing. With --follow, each new customer comes with a user.registered event, which a producer
    publishes.

    Works on the configured database, or else on that of the node that runs with --data-dir on this machine.

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
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look once.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, a line for each look.")
@store_options()
def cache_monitor(interval_s: float, once: bool, as_json: bool, **params: Any) -> None:
    """Show the cache of users and products, live: time since the last refresh, memory, load, hits, rows, refreshes.

    HIT is what readers of all processes asked for and found; '-' while nobody has read. Ctrl+C ends it. With --once the
    exit code is 1 when the Redis does not answer.

    Works on the configured Redis, or else on that of the node that runs with --data-dir on this machine.

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
