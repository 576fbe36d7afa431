"""Schema migrations: numbered SQL files, applied once each, in order, by one process at a time.

A file is ``migrations/NNNN_name.sql`` and is never changed after a release: a new file changes what an old one made.
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

#: Whoever works on the database must be able to see that its schema is not newer or older than this airnode.
READ_MIGRATIONS = SqlGrant("public", "SELECT", "airnode_migrations")

#: Any number that nobody else uses; all airnodes on one database queue up on it.
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
    """One file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Digest of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(directory: Traversable | None = None) -> list[Migration]:
    """Read the files, by default the package's own.

    Raises:
        ValueError: a name is wrong, or the numbers are not 1, 2, 3, ….
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
    """Return what is left to apply.

    Args:
        applied: digest by version, as the database has it.

    Raises:
        StartupError: the database is newer than this code, or an applied file was changed since.
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
    """Bring the schema up to date; safe when several processes do it at once. Returns the versions applied now.

    Each file is one transaction. Cancellation rolls the file at hand back.

    Raises:
        StartupError: see :func:`pending`; or a file failed.
    """
    wanted = load() if migrations is None else migrations
    done: list[int] = []
    # A look needs no lock, and no right to change anything: some come to do nothing else.
    if not pending(wanted, await _applied(postgres)):
        return done
    while await _apply_next(postgres, wanted, done):
        pass
    return done


async def require_current(postgres: Postgres) -> None:
    """See that the schema is the one that this code knows; changes nothing.

    Raises:
        StartupError: see :func:`pending`; or there is something to apply.
    """
    if left := pending(load(), await _applied(postgres)):
        raise StartupError(
            f"The database at {postgres.address} is at schema version {left[0].version - 1}, and this airnode works on "
            f"{left[-1].version}: bring it up to date with: airnode pipeline init"
        )


async def _applied(postgres: Postgres) -> dict[int, str]:
    """What the database says was applied, digest by version."""
    there = await postgres.fetchval("SELECT to_regclass('airnode_migrations') IS NOT NULL")
    rows = await postgres.fetch("SELECT version, sha256 FROM airnode_migrations") if there else []
    return {row["version"]: row["sha256"] for row in rows}


async def _apply_next(postgres: Postgres, migrations: Sequence[Migration], done: list[int]) -> bool:
    """Apply the next file in its own transaction; False when none is left."""
    async with postgres.transaction() as connection:
        # Held to the end of this transaction: it ends with the connection as well, so that no lock is left behind.
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
