"""A process on another machine gets the addresses and keys for its roles, or for a command, from a master.

It sends the credential of an access (:class:`airnode.kernel.access.RemoteAccess`) to ``POST /cluster/join`` and puts
the answer into its settings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pydantic
import structlog
from pydantic import SecretStr

import airnode
from airnode.cluster.join_types import JOIN_PATH, JoinAnswer, JoinRequest
from airnode.config.keys import env_name
from airnode.config.model import Settings
from airnode.errors import ConfigError, StartupError
from airnode.kernel.access import RemoteAccess
from airnode.runtime.resources import Resource, is_configured, with_url
from airnode.runtime.role import Role
from airnode.web.health import Identity
from airnode.web.master_client import MasterConnection, retry_until_answered

log = structlog.get_logger(__name__)

_OWN_STORES = {
    Resource.REDIS: ("Redis", "redis.url (--redis-url, REDIS_URL)"),
    Resource.POSTGRES: ("PostgreSQL", "postgres.url (--postgres-url, POSTGRES_HOST)"),
}


@dataclass(frozen=True, slots=True)
class Join:
    """A request to a master that has not been sent yet.

    Attributes:
        roles: the roles that need it, for the log.
        missing: the stores whose addresses the answer must contain.
    """

    access: RemoteAccess
    roles: tuple[str, ...]
    missing: frozenset[Resource]


def required_joins(settings: Settings, roles: Sequence[Role]) -> list[Join]:
    """Return the joins that these roles need before their stores can be opened.

    Raises:
        ConfigError: the master's address or the credential for it is missing, or the roles cannot share a process.
    """
    if any(role.makes_secrets for role in roles):
        return []
    if not settings.cluster.master_url:
        _require_standing_alone(settings, roles)
        return []
    joins: dict[str, Join] = {}
    for role in roles:
        if role.access is None:
            continue
        missing = _missing_stores(settings, role.access, role.needs)
        if not role.access.is_node:
            missing -= {resource for other in roles for resource in other.embeds}
        if missing or role.access.is_node:
            known = joins.get(role.access.name, Join(role.access, (), frozenset()))
            joins[role.access.name] = replace(known, roles=(*known.roles, role.name), missing=known.missing | missing)
    _require_one_redis(joins.values())
    for join in joins.values():
        require_token(settings, join.access, f"the role {join.roles[0]}")
    return list(joins.values())


def _require_standing_alone(settings: Settings, roles: Sequence[Role]) -> None:
    """Raise ConfigError if a node of a cluster has neither a master's address nor the signing key from a master."""
    nodes = [role.name for role in roles if role.access is not None and role.access.is_node]
    if nodes and not settings.auth.jwt_secret.get_secret_value():
        raise ConfigError(
            f"airnode: the role {nodes[0]} joins a master: give --master-url and AIRNODE_CLUSTER__TOKEN "
            "(cluster.token), the same as on the master. (Without a master it needs JWT_SECRET_KEY and --redis-url.)"
        )


def command_join(settings: Settings, access: RemoteAccess, needs: Iterable[Resource]) -> Join | None:
    """Return the join that a command needs; None: it uses the configured stores or those of the local node."""
    missing = _missing_stores(settings, access, needs)
    token = settings.cluster.join_token(access.token.key)
    return Join(access, (), missing) if settings.cluster.master_url and token and missing else None


def require_token(settings: Settings, access: RemoteAccess, who: str) -> None:
    """Raise ConfigError unless the credential for this access is set."""
    token = access.token
    if settings.cluster.join_token(token.key):
        return
    how = f"{env_name(token.path)}, {token.path} or {token.path}_file"
    own_stores = "" if access.is_node else ", or name stores of your own with --redis-url and --postgres-url"
    raise ConfigError(
        f"airnode: the {token.name} is needed for {who} to join {settings.cluster.master_url}: give the master and "
        f"this node the same ({how}; make one with: openssl rand -hex 32){own_stores}."
    )


async def joined(settings: Settings, join: Join, request: JoinRequest) -> Settings:
    """Repeat the request until the master answers, and return the settings with its answer.

    Raises:
        StartupError: the master refuses the credential, or its answer is not enough; see :func:`completed`.
    """
    master = join_master(settings, join.access)
    answer = await retry_until_answered(master.url, lambda: master.post(JOIN_PATH, request, JoinAnswer))
    log.info(
        "cluster_joined",
        master_url=master.url,
        access=join.access.name,
        roles=",".join(join.roles),
        node_id=request.node_id,
        node_host=answer.node_host,
    )
    return completed(settings, join, answer)


def join_master(settings: Settings, access: RemoteAccess) -> MasterConnection:
    """Return the client for the master, with the credential of this access."""
    return MasterConnection(settings.cluster.master_url, settings.cluster.join_token(access.token.key))


def join_request(settings: Settings, join: Join, identity: Identity | None = None) -> JoinRequest:
    """Return the request; ``identity`` is None for a command."""
    return JoinRequest(
        access=join.access.name,
        version=airnode.__version__,
        roles=list(join.roles),
        node_id=identity.node_id if identity is not None else "",
        node_name=identity.node_name if identity is not None else "",
        host=settings.node.host,
    )


def completed(settings: Settings, join: Join, answer: JoinAnswer) -> Settings:
    """Return the settings with the master's answer.

    The answer's addresses and signing key are used where none are set. The keys that the access declares always get
    the master's values, because they must be the same in the whole cluster.

    Raises:
        StartupError: the signing keys differ, the master does not share a needed store, or a value is invalid here.
    """
    access = join.access
    if access.verifies_tokens:
        settings = _with_signing_key(settings, answer.jwt_secret)
    urls = {Resource.REDIS: answer.redis_url, Resource.POSTGRES: answer.postgres_url}
    for resource in (each for each in urls if each in join.missing):
        if not urls[resource]:
            raise _not_shared(settings, access, resource)
        settings = with_url(settings, resource, urls[resource])
    if access.is_node and not settings.node.host:
        settings = settings.model_copy(update={"node": settings.node.model_copy(update={"host": answer.node_host})})
    for key in access.settings:
        if key in answer.settings:
            settings = _with_value(settings, key, answer.settings[key])
    return settings


def shared_values(settings: Settings, access: RemoteAccess) -> dict[str, Any]:
    """Return {key: value} of the settings that the master decides for this access."""
    found = {}
    for key in access.settings:
        section, _, name = key.partition(".")
        found[key] = getattr(getattr(settings, section), name)
    return found


def _missing_stores(settings: Settings, access: RemoteAccess, needs: Iterable[Resource]) -> frozenset[Resource]:
    """Return the stores that are needed, not configured, and part of the access."""
    given = {Resource.REDIS: access.redis is not None, Resource.POSTGRES: bool(access.grants)}
    needed = frozenset(needs)
    return frozenset(
        resource
        for resource, is_given in given.items()
        if is_given and resource in needed and not is_configured(settings, resource)
    )


def _require_one_redis(joins: Iterable[Join]) -> None:
    names = [join.roles[0] for join in joins if Resource.REDIS in join.missing]
    if len(names) > 1:
        raise ConfigError(
            f"airnode: {' and '.join(names)} cannot share a process that gets its Redis from the master: each may see "
            "its own part of it only. Run them as two, with a --data-dir and --port each."
        )


def _with_signing_key(settings: Settings, key: str) -> Settings:
    own = settings.auth.jwt_secret.get_secret_value()
    if own and own != key:
        raise StartupError(
            "JWT_SECRET_KEY (auth.jwt_secret) is not the master's: leave it out, the master hands it over."
        )
    auth = settings.auth.model_copy(update={"jwt_secret": SecretStr(key)})
    return settings.model_copy(update={"auth": auth})


def _with_value(settings: Settings, key: str, value: object) -> Settings:
    section_name, _, name = key.partition(".")
    section = getattr(settings, section_name)
    try:
        valid = getattr(type(section).model_validate({name: value}), name)
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise StartupError(
            f"The master {settings.cluster.master_url} sends a value of {key} that is not valid here ({reason}): run "
            "the same version of airnode on both."
        ) from None
    return settings.model_copy(update={section_name: section.model_copy(update={name: valid})})


def _not_shared(settings: Settings, access: RemoteAccess, resource: Resource) -> StartupError:
    if access.is_node:
        return StartupError("The master's Redis is a unix socket: give both nodes an address with redis.url.")
    store, how = _OWN_STORES[resource]
    return StartupError(
        f"The master {settings.cluster.master_url} does not run its {store} itself: give this node the address of that "
        f"one, with a user that may do what this needs, as {how}."
    )
