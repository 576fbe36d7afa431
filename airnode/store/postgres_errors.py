"""What PostgreSQL says, in our words: a row that will never do, a schema that is not ours, or not now."""

import contextlib
from collections.abc import Iterator

import asyncpg

from airnode.errors import Unavailable

#: SQLSTATE classes that say: this row will never do. 22 data exception, 23 integrity constraint violation.
_ROWS_FAULT = ("22", "23")
#: A schema that is not ours: no row and no retry helps, only a person.
_SCHEMAS_FAULT = "42"
_RETRY_AFTER_S = 1.0


class Refused(Exception):
    """The database will not take what it was given."""


@contextlib.contextmanager
def in_our_words(not_now: str) -> Iterator[None]:
    """Tell a row that is wrong from a database that is away.

    Args:
        not_now: the sentence for the latter.

    Raises:
        Refused: a row is wrong. Unavailable: anything else.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        state = getattr(error, "sqlstate", None) or ""
        # What asyncpg cannot encode never reaches the server, and is an InterfaceError as well.
        if state.startswith(_ROWS_FAULT) or isinstance(error, asyncpg.DataError):
            raise Refused(str(error)) from error
        if state.startswith(_SCHEMAS_FAULT):
            raise Unavailable(
                f"The database's schema is not this airnode's: {error}. Run: airnode pipeline init",
                retry_after_s=_RETRY_AFTER_S,
                debug=repr(error),
            ) from error
        raise Unavailable(not_now, retry_after_s=_RETRY_AFTER_S, debug=repr(error)) from error
