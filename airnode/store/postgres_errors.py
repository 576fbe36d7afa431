"""Translates errors of PostgreSQL: an invalid row, a foreign schema, or a database that is away."""

import contextlib
from collections.abc import Iterator

import asyncpg

from airnode.errors import Unavailable

#: SQLSTATE classes of invalid rows: 22 data exception, 23 integrity constraint violation.
_INVALID_ROW = ("22", "23")
#: SQLSTATE class of a schema that does not fit: a retry does not help, only a person does.
_FOREIGN_SCHEMA = "42"
_RETRY_AFTER_S = 1.0


class StatementRefused(Exception):
    """The database refuses a row."""


@contextlib.contextmanager
def translated(unavailable: str) -> Iterator[None]:
    """Translate errors: distinguish an invalid row from a database that is away.

    Args:
        unavailable: the sentence for a database that is away.

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
        if state.startswith(_FOREIGN_SCHEMA):
            raise Unavailable(
                f"The database's schema is not this airnode's: {error}. Run: airnode pipeline init",
                retry_after_s=_RETRY_AFTER_S,
                debug=repr(error),
            ) from error
        raise Unavailable(unavailable, retry_after_s=_RETRY_AFTER_S, debug=repr(error)) from error
