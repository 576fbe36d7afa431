"""Translates errors of PostgreSQL: invalid rows, a schema that does not match, an unreachable database."""

import contextlib
from collections.abc import Iterator

import asyncpg

from airnode.errors import Unavailable

#: SQLSTATE classes of invalid rows: 22 data exception, 23 integrity constraint violation.
_INVALID_ROW = ("22", "23")
#: SQLSTATE class 42, syntax error or access rule violation: the schema does not match this version of airnode.
_WRONG_SCHEMA = "42"
_RETRY_AFTER_S = 1.0


class StatementRefused(Exception):
    """The database refuses a row."""


@contextlib.contextmanager
def translated(unavailable: str) -> Iterator[None]:
    """Translate errors of asyncpg.

    Args:
        unavailable: message of the error for an unreachable database.

    Raises:
        StatementRefused: a row is invalid.
        Unavailable: any other error.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        state = getattr(error, "sqlstate", None) or ""
        # asyncpg raises DataError, which is also an InterfaceError, for a value that it cannot encode.
        if state.startswith(_INVALID_ROW) or isinstance(error, asyncpg.DataError):
            raise StatementRefused(str(error)) from error
        if state.startswith(_WRONG_SCHEMA):
            raise Unavailable(
                f"The database's schema is not this airnode's: {error}. Run: airnode pipeline init",
                retry_after_s=_RETRY_AFTER_S,
                debug=repr(error),
            ) from error
        raise Unavailable(unavailable, retry_after_s=_RETRY_AFTER_S, debug=repr(error)) from error
