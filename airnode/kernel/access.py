"""The access of a role on another machine to the stores of a master.

A domain declares an access, and a role refers to it. Everything else follows from the declaration: the key of the join
token in the configuration, the master's answer to ``POST /cluster/join``, and the users of the embedded servers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A credential with which roles join a master. It is a key of the section ``[cluster]``.

    Attributes:
        key: name in the section, such as ``speech_token``; it ends with ``token``. No other section has such keys.
        name: for messages to people, such as ``speech token``.
        description: help text of the key, for the documentation of the configuration.
    """

    key: str
    name: str
    description: str

    @property
    def path(self) -> str:
        """Return the dotted key of the configuration."""
        return f"cluster.{self.key}"


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """The rights of a user in Redis.

    All users may use commands on hashes, sets, sorted sets, strings and streams, transactions and scripts. No user may
    use commands that administer the server.

    Attributes:
        keys: patterns of the keys that the user may read and write, such as ``cache:*``.
        channels: patterns of the pub/sub channels.
        categories: additional ACL categories of commands, such as ``list``.
        commands: additional single commands, such as ``info``.
    """

    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SqlGrant:
    """Rights on a table of a schema, or on all its tables and sequences.

    Attributes:
        rights: as in a GRANT statement, such as ``SELECT, INSERT``.
        table: name of the table; empty: all tables, and the values of all sequences.
    """

    schema: str
    rights: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """The access that a role gets from a master, if it runs on another machine where no stores are configured.

    Attributes:
        name: used in the join request and in the names of the users (``airnode-<name>`` in Redis, ``airnode_<name>``
            in PostgreSQL); lower-case letters.
        token: the credential that the role sends; several accesses may share one.
        redis: rights in Redis; None: no user there.
        grants: rights in PostgreSQL; empty: no user there.
        is_node: the cluster lists it as a node. It always joins. If the master uses a configured Redis, it gets the
            address of that Redis with the password.
        verifies_tokens: it gets the key that signs viewers' tokens.
        settings: keys of the configuration that get the master's values, such as ``cluster.lease_s``.
    """

    name: str
    token: JoinToken
    redis: RedisAccess | None = None
    grants: tuple[SqlGrant, ...] = ()
    is_node: bool = False
    verifies_tokens: bool = False
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreUrls:
    """Addresses of a master's stores, with user and password; empty: the master does not share the store."""

    redis: str = ""
    postgres: str = ""
