"""Schema migrations: numbered SQL files, each applied once, in order, by one process at a time.

The files are named ``migrations/NNNN_name.sql``. A file never changes after a release: each further change of the
schema gets a new file.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg
import structlog

from airnode.errors import StartupError
from airnode.kernel.access import SqlGrant
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

#: Every user of the database must be able to check that the schema matches this version of airnode.
READ_MIGRATIONS = SqlGrant("public", "SELECT", "airnode_migrations")

#: Key of an advisory lock: an arbitrary number that nothing else uses. All nodes on one database wait for this lock.
_LOCK_KEY = 0x6169726E6F6465
_FILE = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_LEDGER = """
CREATE TABLE IF NOT EXISTS airnode_migrations (
    version    integer PRIMARY KEY CHECK (version > 0),
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Return the digest of the SQL text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(directory: Traversable | None = None) -> list[Migration]:
    """Return the migrations of a directory, by default those of this package.

    Raises:
        ValueError: a file name is invalid, or the numbers are not 1, 2, 3, ….
    """
    folder = directory or resources.files("airnode.store").joinpath("migrations")
    found = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise ValueError(f"{file.name} is not named NNNN_name.sql")
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3, …")
    return found


def pending(migrations: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Return the migrations that are not applied yet.

    Args:
        applied: migrations of the database, {version: digest}.

    Raises:
        StartupError: the database is newer than this code, or a file was changed after it was applied.
    """
    newest = max(applied, default=0)
    if newest > len(migrations):
        raise StartupError(
            f"The database is at schema version {newest}, but this airnode knows only {len(migrations)}: "
            "upgrade airnode, or restore the database of the older version."
        )
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise StartupError(
                f"Migration {migration.version:04d}_{migration.name}.sql was changed after it was applied: "
                "install the airnode that this database belongs to."
            )
    return [migration for migration in migrations if migration.version not in applied]


async def migrate(postgres: Postgres, migrations: Sequence[Migration] | None = None) -> list[int]:
    """Apply pending migrations and return their versions. Several processes may call this at the same time.

    Each file is one transaction. Cancellation rolls the current file back.

    Raises:
        StartupError: see :func:`pending`; or a migration failed.
    """
    wanted = load() if migrations is None else migrations
    done: list[int] = []
    # Reading needs no lock. It also works for database users that may not change the schema.
    if not pending(wanted, await _applied(postgres)):
        return done
    while await _apply_next(postgres, wanted, done):
        pass
    return done


async def require_current(postgres: Postgres) -> None:
    """Check that the schema has the version of this code.

    Raises:
        StartupError: see :func:`pending`; or a migration is pending.
    """
    if left := pending(load(), await _applied(postgres)):
        raise StartupError(
            f"The database at {postgres.address} is at schema version {left[0].version - 1}, and this airnode works on "
            f"{left[-1].version}: bring it up to date with: airnode pipeline init"
        )


async def _applied(postgres: Postgres) -> dict[int, str]:
    """Return the applied migrations, {version: digest}."""
    there = await postgres.fetchval("SELECT to_regclass('airnode_migrations') IS NOT NULL")
    rows = await postgres.fetch("SELECT version, sha256 FROM airnode_migrations") if there else []
    return {row["version"]: row["sha256"] for row in rows}


async def _apply_next(postgres: Postgres, migrations: Sequence[Migration], done: list[int]) -> bool:
    """Apply the next file in its own transaction; return whether more files are pending."""
    async with postgres.transaction() as connection:
        # PostgreSQL releases this lock when the transaction or the connection ends, so a killed process leaves no lock.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
        try:
            await connection.execute(_LEDGER)
        except asyncpg.InsufficientPrivilegeError as error:
            raise StartupError(
                f"The database at {postgres.address} is older than this airnode, and this user may not change its "
                "schema: upgrade the master first, or run as the database's owner: airnode pipeline init"
            ) from error
        rows = await connection.fetch("SELECT version, sha256 FROM airnode_migrations")
        left = pending(migrations, {row["version"]: row["sha256"] for row in rows})
        if not left:
            return False
        migration = left[0]
        try:
            await connection.execute(migration.sql, timeout=None)
        except asyncpg.PostgresError as error:
            raise StartupError(f"Migration {migration.version:04d}_{migration.name}.sql failed: {error}.") from error
        await connection.execute(
            "INSERT INTO airnode_migrations (version, name, sha256) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.sha256,
        )
    log.info("migration_applied", version=migration.version, name=migration.name)
    done.append(migration.version)
    return len(left) > 1
