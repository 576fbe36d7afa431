"""API keys of programs, in PostgreSQL: made, found, revoked, and the minutes of audio that each has used today."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from airnode.errors import Conflict, NotFound
from airnode.store.postgres import Postgres

_PREFIX = "air_"
_KEY = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}\Z")

_COLUMNS = "key_id, name, rate_per_s, daily_minutes, created_at, used_at, revoked_at"
_INSERT = """
INSERT INTO api_keys (key_id, name, sha256, rate_per_s, daily_minutes) VALUES ($1, $2, $3, $4, $5)
"""
# used_at is to the minute, so that not each request writes a row.
_FIND = f"""
UPDATE api_keys SET used_at = date_trunc('minute', now()) WHERE sha256 = $1 AND revoked_at IS NULL
    AND used_at IS DISTINCT FROM date_trunc('minute', now()) RETURNING {_COLUMNS}
"""  # noqa: S608 - constant columns
_READ = f"SELECT {_COLUMNS} FROM api_keys WHERE sha256 = $1 AND revoked_at IS NULL"  # noqa: S608 - constant columns
_LIST = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, name"  # noqa: S608 - constant columns
_REVOKE = """
UPDATE api_keys SET revoked_at = now() WHERE (name = $1 OR key_id = $1) AND revoked_at IS NULL RETURNING key_id
"""
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_CHARGE = f"""
INSERT INTO api_key_usage AS used (key_id, day, seconds) SELECT $1, {_TODAY}, $2::double precision
    WHERE $2::double precision <= $3::double precision
ON CONFLICT (key_id, day) DO UPDATE SET seconds = used.seconds + excluded.seconds
    WHERE used.seconds + excluded.seconds <= $3::double precision RETURNING seconds
"""
_REFUND = f"""
UPDATE api_key_usage SET seconds = greatest(0, seconds - $2) WHERE key_id = $1 AND day = {_TODAY}
"""  # noqa: S608 - constant expression
_USED = f"SELECT seconds FROM api_key_usage WHERE key_id = $1 AND day = {_TODAY}"  # noqa: S608 - constant expression


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; the key itself is not.

    Attributes:
        rate_per_s, daily_minutes: its own limits; None: those of the configuration.
    """

    key_id: str
    name: str
    rate_per_s: float | None = None
    daily_minutes: float | None = None
    created_at: datetime | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None


def is_api_key(text: str) -> bool:
    """Return whether a credential has the form of an API key."""
    return _KEY.match(text) is not None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """The tables of keys. All methods raise Unavailable (503) when the database does not answer."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def make(
        self, name: str, *, rate_per_s: float | None = None, daily_minutes: float | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key; return it, and the text that its owner sends. That text is shown once and stored nowhere.

        Raises:
            Conflict: (409) there is a key of this name, perhaps a revoked one.
        """
        text = _PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(secrets.token_hex(6), name, rate_per_s, daily_minutes)
        try:
            await self._postgres.execute(_INSERT, key.key_id, name, _digest(text), rate_per_s, daily_minutes)
        except asyncpg.UniqueViolationError:
            raise Conflict(f"There is an API key called {name!r} already; each needs a name of its own.") from None
        return key, text

    async def find(self, text: str) -> ApiKey | None:
        """Return the key of a text, None if there is none, or it is revoked."""
        if not is_api_key(text):
            return None
        digest = _digest(text)
        row = await self._postgres.fetchrow(_FIND, digest) or await self._postgres.fetchrow(_READ, digest)
        return None if row is None else _key(row)

    async def all(self) -> list[ApiKey]:
        """Return all keys, the oldest first, revoked ones too."""
        return [_key(row) for row in await self._postgres.fetch(_LIST)]

    async def revoke(self, name: str) -> None:
        """Revoke a key by its name or id; it opens nothing from now on.

        Raises:
            NotFound: (404) there is no such key, or it is revoked already.
        """
        if await self._postgres.fetchval(_REVOKE, name) is None:
            raise NotFound(f"There is no API key {name!r} that could be revoked.")

    async def charge(self, key_id: str, seconds: float, daily_seconds: float) -> bool:
        """Count seconds of audio for today (UTC); return False, and count nothing, if that exceeds the limit."""
        return await self._postgres.fetchval(_CHARGE, key_id, seconds, daily_seconds) is not None

    async def refund(self, key_id: str, seconds: float) -> None:
        """Take back what :meth:`charge` counted: nothing became of it."""
        await self._postgres.execute(_REFUND, key_id, seconds)

    async def used_seconds(self, key_id: str) -> float:
        """Return the seconds of audio that a key has used today."""
        return float(await self._postgres.fetchval(_USED, key_id) or 0.0)


def _key(row: Any) -> ApiKey:
    return ApiKey(**dict(row))
