"""What a role on another machine may do on the stores of a master.

A domain declares it, and a role names it. Everything else follows from the declaration: the key of the join token in
the configuration, the master's answer to ``POST /cluster/join``, and the users of the embedded servers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A credential with which roles join a master. It is a key of the section ``[cluster]``.

    Attributes:
        key: name in the section, such as ``speech_token``; it ends with ``token``. No other section has such keys.
        name: for messages to people, such as ``speech token``.
        description: what the configuration's documentation says about the key.
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
    """What a user may do on the Redis.

    All users may use commands on hashes, sets, sorted sets, strings and streams, transactions and scripts. None may use
    commands that administer the server.

    Attributes:
        keys: patterns of the keys that the user may read and write, such as ``cache:*``.
        channels: patterns of the pub/sub channels.
        categories: more ACL categories of commands, such as ``list``.
        commands: more single commands, such as ``info``.
    """

    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SqlGrant:
    """Rights on a table of a schema, or on all its tables and sequences.

    Attributes:
        rights: as GRANT takes them, such as ``SELECT, INSERT``.
        table: empty: all tables, and the values of all sequences.
    """

    schema: str
    rights: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """What a role gets from a master, when it runs on another machine without stores of its own.

    Attributes:
        name: in the request, and in the names of the users (``airnode-<name>`` in Redis, ``airnode_<name>`` in
            PostgreSQL); lower-case letters.
        token: the credential that the role shows; accesses may share one.
        redis: None: no user in Redis.
        grants: rights in PostgreSQL; empty: no user there.
        is_node: the cluster lists it as a node. It always joins, and is trusted with the address of a Redis that the
            master's configuration names, with its password.
        verifies_tokens: it gets the key that signs viewers' tokens.
        settings: keys of the configuration, such as ``cluster.lease_s``, whose values are the master's.
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
    """Addresses of a master's stores, with user and password; empty: the master has none to share."""

    redis: str = ""
    postgres: str = ""
