"""Translates errors of PostgreSQL: invalid rows, a schema that does not match, an unreachable database."""

import contextlib
from collections.abc import Iterator

import asyncpg

from airnode.errors import Unavailable

#: SQLSTATE classes of invalid rows: 22 data exception, 23 integrity constraint violation.
_INVALID_ROW = ("22", "23")
#: SQLSTATE class of a schema that does not match this airnode: somebody has to change it.
_WRONG_SCHEMA = "42"
_RETRY_AFTER_S = 1.0


class StatementRefused(Exception):
    """The database refuses a row."""


@contextlib.contextmanager
def translated(unavailable: str) -> Iterator[None]:
    """Translate errors of asyncpg.

    Args:
        unavailable: the sentence for an unreachable database.

    Raises:
        StatementRefused: a row is invalid. Unavailable: anything else.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        state = getattr(error, "sqlstate", None) or ""
        # A value that asyncpg cannot encode is a DataError, and an InterfaceError as well.
        if state.startswith(_INVALID_ROW) or isinstance(error, asyncpg.DataError):
            raise StatementRefused(str(error)) from error
        if state.startswith(_WRONG_SCHEMA):
            raise Unavailable(
                f"The database's schema is not this airnode's: {error}. Run: airnode pipeline init",
                retry_after_s=_RETRY_AFTER_S,
                debug=repr(error),
            ) from error
        raise Unavailable(unavailable, retry_after_s=_RETRY_AFTER_S, debug=repr(error)) from error
