"""Users of the embedded PostgreSQL for roles on other machines.

Each user connects with a password (SCRAM-SHA-256) to one database, and has only the rights that its access declares.
Processes on this machine use the unix socket.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from airnode.embedded.network import NetworkAccess, RemoteUser
from airnode.embedded.pg_cluster import OWNER
from airnode.kernel.access import RemoteAccess, SqlGrant
from airnode.processes.child import Account

HBA_FILE = "airnode_hba.conf"
_HBA = f"""\
# Written by airnode at each start; the first line that fits decides.
local all {OWNER} trust
"""


def user_name(access: RemoteAccess) -> str:
    return f"airnode_{access.name}"


def write_hba(cluster: Path, users: Sequence[RemoteUser], account: Account | None) -> None:
    """Write the rules for connections (in the format of pg_hba.conf) into the cluster's directory."""
    path = cluster / HBA_FILE
    lines = [f"host {OWNER} {user_name(user.access)} all scram-sha-256\n" for user in users]
    path.write_text(_HBA + "".join(lines))
    path.chmod(0o600)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def remote_url(network: NetworkAccess, access: RemoteAccess, host: str, port: int) -> str:
    """Return the address for a role that reaches this machine as ``host``; empty: there is no user for it."""
    password = network.password(access)
    return f"postgresql://{user_name(access)}:{quote(password)}@{host}:{port}/{OWNER}" if password else ""


def rights(user: RemoteUser, connections: int) -> str:
    """Return SQL that grants the user its rights and revokes all others. It needs the schema, and may run again.

    Args:
        connections: largest number of connections that the user may have at a time.
    """
    if not user.password.isalnum():
        raise ValueError("the password is written into a statement: letters and digits only")
    name, grants = user_name(user.access), user.access.grants
    schemas = ", ".join(sorted({"public", *(grant.schema for grant in grants)}))
    return f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN CREATE ROLE {name}; END IF;
END $$;
ALTER ROLE {name} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT {connections} PASSWORD '{user.password}';
REVOKE ALL ON DATABASE {OWNER} FROM PUBLIC, {name};
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA {schemas} FROM {name};
REVOKE ALL ON ALL TABLES IN SCHEMA {schemas} FROM {name};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schemas} FROM {name};
GRANT CONNECT ON DATABASE {OWNER} TO {name};
GRANT USAGE ON SCHEMA {schemas} TO {name};
{"".join(_statement(grant, name) for grant in grants)}"""  # noqa: S608 - declared names, and a password that is checked


def _statement(grant: SqlGrant, name: str) -> str:
    if grant.table:
        return f"GRANT {grant.rights} ON {grant.schema}.{grant.table} TO {name};\n"
    return (
        f"GRANT {grant.rights} ON ALL TABLES IN SCHEMA {grant.schema} TO {name};\n"
        f"GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {grant.schema} TO {name};\n"
    )
