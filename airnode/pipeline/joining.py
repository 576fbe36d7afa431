"""How the pipeline's roles, and its commands, get to the stores of a master on another machine.

They show ``cluster.pipeline_token`` and are given addresses with users of their own, who reach the event log, the cache
and the pipeline's tables. They learn neither the cluster token nor the key that signs viewers' tokens.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
import structlog

import airnode
from airnode.config.model import Settings
from airnode.config.sections.base import Section
from airnode.errors import ConfigError, StartupError, Unavailable
from airnode.runtime.context import JoinContext
from airnode.runtime.open_stores import OpenStores, open_stores
from airnode.runtime.resources import Resource
from airnode.runtime.role import Join
from airnode.web.master_client import Master, Refused, until_answered

log = structlog.get_logger(__name__)

PATH = "/api/pipeline/join"
_TOKEN = "cluster.pipeline_token, AIRNODE_CLUSTER__PIPELINE_TOKEN"  # noqa: S105 - its name
_OWN = {
    Resource.REDIS: ("Redis", "redis.url (--redis-url, REDIS_URL)"),
    Resource.POSTGRES: ("PostgreSQL", "postgres.url (--postgres-url, POSTGRES_HOST)"),
}

ShortText = Annotated[str, msgspec.Meta(max_length=200)]


class PipelineJoin(msgspec.Struct):
    """A role of the pipeline, or a command, that wants to work on the master's stores."""

    role: ShortText
    node_name: ShortText
    version: ShortText


class PipelineStores(msgspec.Struct):
    """Where they are, with user and password; empty: the master does not run that one itself."""

    redis_url: str
    postgres_url: str


def join(ctx: JoinContext, role: str) -> Join | None:
    """What a role awaits before its stores; None: it has them, or runs beside a master that brings them.

    Raises:
        ConfigError: there is a master's address, and something is missing or does not go together.
    """
    settings, roles = ctx.settings, ctx.identity.roles
    needed = _missing(settings)
    if not settings.cluster.master_url or not needed or ctx.has_own_secrets or "master" in roles:
        return None
    if "slave" in roles and Resource.REDIS in needed:
        raise ConfigError(
            f"airnode: slave and {role} cannot share a process that gets its Redis from the master: each sees its own "
            "part of it. Run them as two, with a --data-dir and --port each."
        )
    master = _master(settings, f"the role {role} gets")
    request = PipelineJoin(role, ctx.identity.node_name, airnode.__version__)

    async def joined(settings: Settings) -> Settings:
        given = await until_answered(master.url, lambda: master.post(PATH, request, PipelineStores))
        log.info("pipeline_joined", master_url=master.url, role=role)
        return completed(settings, given)

    return joined


@contextlib.asynccontextmanager
async def working_on(settings: Settings, *wanted: Resource) -> AsyncIterator[OpenStores]:
    """Stores for a command: the configured ones, or the master's where ``cluster.master_url`` says so, or those of the
    node here.

    Raises:
        StartupError: see :func:`airnode.runtime.open_stores.open_stores`; or the master does not answer, or refuses us.
    """
    if settings.cluster.master_url and settings.cluster.pipeline_token.get_secret_value() and _missing(settings):
        master = _master(settings, "a command gets")
        try:
            given = await master.post(PATH, PipelineJoin("command", "", airnode.__version__), PipelineStores)
        except (Refused, Unavailable) as error:
            raise StartupError(f"The master {master.url} gives no stores to work on: {error}") from None
        settings = completed(settings, given)
    async with open_stores(settings, *wanted) as stores:
        yield stores


def completed(settings: Settings, given: PipelineStores) -> Settings:
    """The settings with the master's answer where they name no store themselves.

    Raises:
        StartupError: the master has none to share.
    """
    urls = {Resource.REDIS: given.redis_url, Resource.POSTGRES: given.postgres_url}
    found = {}
    for resource in _missing(settings):
        if not urls[resource]:
            what, how = _OWN[resource]
            raise StartupError(
                f"The master {settings.cluster.master_url} does not run its {what} itself: give this node the address "
                f"of that one, with a user for the pipeline, as {how}."
            )
        section: Section = settings.redis if resource is Resource.REDIS else settings.postgres
        found[str(resource)] = section.model_copy(update={"url": urls[resource]})
    return settings.model_copy(update=found)


def _missing(settings: Settings) -> list[Resource]:
    """Stores that the configuration does not name."""
    redis, postgres = settings.redis, settings.postgres
    there = {Resource.REDIS: redis.url or redis.host, Resource.POSTGRES: postgres.url or postgres.host}
    return [resource for resource, address in there.items() if not address]


def _master(settings: Settings, who: str) -> Master:
    section = settings.cluster
    if not section.pipeline_token.get_secret_value():
        raise ConfigError(
            f"airnode: {who} to the stores of {section.master_url} with the pipeline token only: give the master and "
            f"this node the same ({_TOKEN}; make one with: openssl rand -hex 32), or name stores of your own with "
            "--redis-url and --postgres-url."
        )
    return Master(section.master_url, section.pipeline_token.get_secret_value())
