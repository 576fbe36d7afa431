"""The embedded PostgreSQL on the network: for the data pipeline's roles on other machines, and nobody else.

They come as ``airnode_pipeline`` with a password (SCRAM-SHA-256), to one database, and may read and write the rows of
the schema ``pipeline``; classes, people, recordings and the schema itself are out of their reach. This machine's own
way in stays the unix socket.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from airnode.embedded.pg_cluster import OWNER
from airnode.processes.child import Account

GUEST = "airnode_pipeline"
HBA_FILE = "airnode_hba.conf"
_HBA = f"""\
# Written by airnode at each start; the first line that fits decides.
local all {OWNER} trust
host {OWNER} {GUEST} all scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class GuestAccess:
    """How the pipeline's roles get in.

    Attributes:
        port: 0 takes any free one, and the same again at the next start.
        password: of letters and digits.
        connections: most that they may have at a time, all together.
    """

    host: str
    port: int
    password: str
    connections: int


def write_hba(cluster: Path, account: Account | None) -> None:
    """Say in the cluster's directory who may come, and how."""
    path = cluster / HBA_FILE
    path.write_text(_HBA)
    path.chmod(0o600)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def guest_url(access: GuestAccess, host: str, port: int) -> str:
    """Address for a node that reaches this machine as ``host``."""
    return f"postgresql://{GUEST}:{quote(access.password)}@{host}:{port}/{OWNER}"


def rights(access: GuestAccess) -> str:
    """The statements that give the guest its rights and take all others; needs the schema, and may run again."""
    if not access.password.isalnum():
        raise ValueError("the password is written into a statement: letters and digits only")
    return f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{GUEST}') THEN CREATE ROLE {GUEST}; END IF;
END $$;
ALTER ROLE {GUEST} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT {access.connections} PASSWORD '{access.password}';
REVOKE ALL ON DATABASE {OWNER} FROM PUBLIC, {GUEST};
REVOKE ALL ON SCHEMA public FROM PUBLIC, {GUEST};
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {GUEST};
GRANT CONNECT ON DATABASE {OWNER} TO {GUEST};
GRANT USAGE ON SCHEMA public, pipeline TO {GUEST};
GRANT SELECT ON public.airnode_migrations TO {GUEST};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pipeline TO {GUEST};
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA pipeline TO {GUEST};
"""  # noqa: S608 - constants, and a password that is checked above
