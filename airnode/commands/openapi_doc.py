"""The OpenAPI document of a standalone node, without a running node: ``python -m airnode.commands.openapi_doc``.

The build of the pages makes their types from it.
"""

from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.bus.client import Bus
from airnode.bus.jobs.jobs import Jobs
from airnode.bus.jobs.metrics import JobMetrics
from airnode.bus.subscription import BusMetrics
from airnode.config.model import Settings
from airnode.config.sections.redis import RedisSection
from airnode.kernel.access import StoreUrls
from airnode.runtime.context import RoleContext
from airnode.runtime.resources import Resource
from airnode.runtime.role import Role
from airnode.store.eventlog.create_log import create_event_log
from airnode.store.eventlog.log import EventLog
from airnode.store.postgres import Postgres
from airnode.web import openapi
from airnode.web.addresses import Addresses, PortName
from airnode.web.apps import build_app
from airnode.web.health import HealthEndpoints, Identity
from airnode.web.tokens import Tokens


def applications(data_dir: Path) -> dict[PortName, web.Application]:
    """Return the applications of both ports of a standalone node, built and not started. No store is connected."""
    settings, registry = Settings(), CollectorRegistry()
    addresses = Addresses("", "127.0.0.1", False, {PortName.HTTP: 8000, PortName.MEDIA: 8888})
    identity = Identity("n", "n", ("standalone",))
    bus = Bus(RedisSection(), BusMetrics(registry), url="redis://127.0.0.1:1")
    resources: dict[Resource, Bus | Postgres | EventLog] = {
        Resource.REDIS: bus,
        Resource.POSTGRES: Postgres(settings.postgres, url="postgresql://127.0.0.1:1/x"),
        Resource.EVENT_LOG: create_event_log(settings.kafka, settings.eventlog, bus, registry),
    }
    parts = [
        role.build(
            RoleContext(
                role.name,
                settings,
                None,
                identity,
                data_dir,
                CollectorRegistry(),  # master and slave both have a chat, of which a standalone node runs one
                addresses,
                Tokens("s" * 32, 60),
                resources,
                Jobs(bus, settings.jobs, JobMetrics(CollectorRegistry())),
                lambda name, error: None,
                accesses={},
                remote_urls=lambda access, host: StoreUrls(),
            )
        )
        for role in standalone_roles()
    ]
    apps: dict[PortName, web.Application] = {}
    for port in PortName:
        adders = [part.routes[port] for part in parts if port in part.routes]
        if port is PortName.HTTP:
            adders.append(HealthEndpoints(identity, (), lambda: "ready", registry).add_routes)
        apps[port] = build_app(settings.http, adders, lambda: None, lambda: [])
    return apps


def standalone_roles() -> list[Role]:
    """Return the roles of a standalone node.

    They are imported by name, not found by their entry points: while a wheel is built the package is not installed.
    """
    standalone: Role = import_module("roles.standalone").ROLE
    return [*(import_module(f"roles.{name.replace('-', '_')}").ROLE for name in standalone.includes), standalone]


@click.command()
def main() -> None:
    """Write the OpenAPI document to standard output, as JSON."""
    with TemporaryDirectory() as folder:
        apps = applications(Path(folder))
        document = openapi.document([(app, f"http://127.0.0.1/{port}") for port, app in apps.items()])
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
