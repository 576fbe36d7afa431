"""The connection pool to PostgreSQL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

from airnode.config.sections.postgres import PostgresSection
from airnode.errors import StartupError, Unavailable
from airnode.kernel.backoff import Backoff
from airnode.kernel.service import Service

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

log = structlog.get_logger(__name__)

_RETRY_FIRST_S = 0.05
_RETRY_LAST_S = 1.0
_PING_TIMEOUT_S = 2.0

#: The server is starting, stopping or unreachable: a retry may succeed.
_TEMPORARY = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InternalClientError,  # the connection was lost while it was returned to the pool
)
#: The server refuses a statement that it may take later: it stops, has no space or memory left, or is a standby.
_NOT_NOW = (
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
#: A retry does not help.
_PERMANENT = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
    ValueError,
)


class Postgres(Service):
    """One pool for the whole process.

    When the server disappears, a dead connection is only detected when it is used. The first statement on it fails, and
    later statements open a new connection.

    Args:
        section: the URL, or ``host``, ``port``, ``user``, ``password`` and ``database``.
        url: overrides the URL of the section, for the embedded server.
    """

    name = "postgres"

    def __init__(self, section: PostgresSection, *, url: str = "") -> None:
        super().__init__()
        self._section = section
        self._arguments = _connect_arguments(section, url or section.url)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @property
    def address(self) -> str:
        """Return the address of the server without the password, for logs and error messages."""
        return _address(self._arguments)

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """Return the pool.

        Raises:
            Unavailable: the pool is not started yet, or is stopped. HTTP 503.
        """
        if self._pool is None:
            raise Unavailable("The database is not connected.")
        return self._pool

    async def start(self) -> None:
        """Connect. Retry for ``postgres.connect_timeout_s``.

        Raises:
            StartupError: the server does not answer, or refuses the connection.
        """
        loop = asyncio.get_running_loop()
        deadline, backoff = loop.time() + self._section.connect_timeout_s, Backoff(_RETRY_FIRST_S, _RETRY_LAST_S)
        while self._pool is None:
            try:
                self._pool = await self._open(deadline - loop.time())
            except _PERMANENT as error:
                raise StartupError(f"PostgreSQL at {self.address} refuses: {self._safe(error)}.") from None
            except _TEMPORARY as error:
                pause_s = backoff.next_s()
                if loop.time() + pause_s >= deadline:
                    raise StartupError(
                        f"PostgreSQL at {self.address} did not answer within "
                        f"{self._section.connect_timeout_s:g} s: {self._safe(error) or 'no answer'}."
                    ) from None
                await asyncio.sleep(pause_s)
        log.info("postgres_connected", address=self.address)

    async def stop(self) -> None:
        """Close the pool. Statements that still run after two seconds are cancelled."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(2):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def ping(self) -> None:
        """Execute a statement to check the connection.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            async with asyncio.timeout(_PING_TIMEOUT_S):
                await self.pool.fetchval("SELECT 1")
        except (*_TEMPORARY, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unavailable("The database does not answer.", debug=self._safe(error)) from error

    async def fetch(self, statement: str, *values: object) -> "list[asyncpg.Record]":
        """Return all rows. Raises Unavailable (503) while the server does not answer."""
        with self._available():
            rows: list[asyncpg.Record] = await self.pool.fetch(statement, *values)
        return rows

    async def fetchrow(self, statement: str, *values: object) -> "asyncpg.Record | None":
        """Return the first row, or None. Raises Unavailable (503) while the server does not answer."""
        with self._available():
            return await self.pool.fetchrow(statement, *values)

    async def fetchval(self, statement: str, *values: object) -> Any:
        """Return the first value of the first row. Raises Unavailable (503) while the server does not answer."""
        with self._available():
            return await self.pool.fetchval(statement, *values)

    async def execute(self, statement: str, *values: object) -> None:
        """Execute a statement. Raises Unavailable (503) while the server does not answer."""
        with self._available():
            await self.pool.execute(statement, *values)

    @contextlib.contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except (*_TEMPORARY, *_NOT_NOW, asyncpg.InterfaceError) as error:
            raise Unavailable("The database does not answer.", debug=self._safe(error), retry_after_s=1) from error

    @contextlib.asynccontextmanager
    async def transaction(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        """Yield a connection in a new transaction. It is committed at the end, and rolled back on any error.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the connection was lost. Then it is unknown whether
                the transaction was committed.
        """
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                yield connection
        except asyncpg.InternalClientError as error:
            # asyncpg raises this if the connection is lost while it is returned to the pool.
            raise asyncpg.ConnectionDoesNotExistError(f"the connection was lost: {error}") from error

    async def _open(self, timeout_s: float) -> "asyncpg.Pool[asyncpg.Record]":
        pool = asyncpg.create_pool(
            min_size=0,  # with a minimum, asyncpg logs a traceback for each failed attempt to restore it
            max_size=self._section.pool_max,
            timeout=max(timeout_s, 0.1),
            command_timeout=60,
            server_settings={"application_name": "airnode"},
            **self._arguments,
        )
        try:
            await pool
            await pool.fetchval("SELECT 1")
        except BaseException:
            pool.terminate()
            raise
        return pool

    def _safe(self, error: BaseException) -> str:
        """Return the error's first line without the password."""
        text = str(error).partition("\n")[0].rstrip(".")
        for secret in (self._arguments.get("password"), _password_in(str(self._arguments.get("dsn", "")))):
            if secret:
                text = text.replace(str(secret), "***")
        return text


def _connect_arguments(section: PostgresSection, url: str) -> dict[str, Any]:
    password = section.password.get_secret_value()
    if url:
        arguments: dict[str, Any] = {"dsn": url}
        if password and not _password_in(url):
            arguments["password"] = password
        return arguments
    return {
        "host": section.host,
        "port": section.port,
        "user": section.user,
        "password": password or None,
        "database": section.database,
    }


def _password_in(url: str) -> str:
    parts = urlsplit(url)
    return parts.password or next(iter(parse_qs(parts.query).get("password", [])), "")


def _address(arguments: dict[str, Any]) -> str:
    if "dsn" not in arguments:
        return f"{arguments['host']}:{arguments['port']}/{arguments['database']}"
    parts = urlsplit(arguments["dsn"])
    host = parts.netloc.rpartition("@")[2] or next(iter(parse_qs(parts.query).get("host", [])), "localhost")
    return f"{host}{parts.path}"
