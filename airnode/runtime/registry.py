"""Finds roles by the entry-point group ``airnode.roles``, which contains the built-in roles too."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points

from airnode.config.keys import RoleKeys
from airnode.errors import StartupError
from airnode.kernel.access import JoinToken, RemoteAccess
from airnode.runtime.role import Role

GROUP = "airnode.roles"
_TOKEN_KEY = re.compile(r"([a-z][a-z0-9]*_)*token")


@dataclass(frozen=True, slots=True)
class FoundRole:
    """A role and the distribution (package) that it comes from."""

    role: Role
    distribution: str


def _points() -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        known = points.setdefault(point.name, point)
        if known.value != point.value:
            raise StartupError(f"Two packages bring a role called {point.name!r}: {known.value} and {point.value}.")
    return points


def _load(point: EntryPoint) -> Role:
    role = point.load()
    if not isinstance(role, Role):
        raise StartupError(f"The entry point {point.name} = {point.value} is not an airnode.runtime.role.Role.")
    return role


def installed() -> list[FoundRole]:
    """Return all installed roles, sorted by name."""
    points = sorted(_points().values(), key=lambda each: each.name)
    return [FoundRole(_load(point), point.dist.name if point.dist is not None else "?") for point in points]


def role_keys() -> RoleKeys:
    """Return the keys that the installed roles add to the configuration.

    Raises:
        StartupError: two roles declare different accesses or join tokens with one name.
    """
    sections = {found.role.name: found.role.section for found in installed() if found.role.section is not None}
    return RoleKeys(sections, {token.key: token.description for token in join_tokens(accesses().values())})


def join_tokens(declared: Iterable[RemoteAccess]) -> list[JoinToken]:
    """Return the join tokens of the accesses, each once.

    Raises:
        StartupError: two accesses declare different tokens with one key, or a key does not end with ``token``.
    """
    tokens: dict[str, JoinToken] = {}
    for access in declared:
        token = access.token
        if not _TOKEN_KEY.fullmatch(token.key):
            raise StartupError(f"The join token of the access {access.name} needs a key like x_token: {token.key!r}.")
        if tokens.setdefault(token.key, token) != token:
            raise StartupError(f"The access {access.name} has a join token {token.key!r} that differs from another.")
    return list(tokens.values())


def accesses() -> dict[str, RemoteAccess]:
    """Return the accesses to masters that the installed roles declare, {name: access}.

    Raises:
        StartupError: two roles declare different accesses with one name.
    """
    declared: dict[str, RemoteAccess] = {}
    for found in installed():
        access = found.role.access
        if access is not None and declared.setdefault(access.name, access) != access:
            raise StartupError(
                f"The role {found.role.name} declares an access {access.name!r} that differs from another."
            )
    return declared


def resolve(names: Iterable[str]) -> list[Role]:
    """Return the roles with these names. The roles that a role includes come before it; each role comes once.

    Raises:
        StartupError: a name is unknown (the error suggests another), or there is no name.
    """
    points = _points()
    roles: dict[str, Role] = {}
    asked = [name.strip() for name in names]

    def add(name: str) -> None:
        if name in roles:
            return
        if name not in points:
            near = difflib.get_close_matches(name, points, n=1)
            guess = f"; did you mean {near[0]}?" if near else "."
            raise StartupError(f"There is no role {name!r}{guess} Roles: {', '.join(sorted(points))}.")
        role = _load(points[name])
        for included in role.includes:
            add(included)
        roles[name] = role if name in asked else replace(role, implied=True)

    for name in asked:
        add(name)
    if not roles:
        raise StartupError("No role given: --role NAME[,NAME...]; `airnode roles` lists them.")
    return list(roles.values())
