"""What a role on another machine may do on the stores of a master.

A domain declares it, a role names it, the master hands out a credential for it (``POST /cluster/join``), and the
embedded servers enforce it.
"""

from dataclasses import dataclass
from typing import Literal

#: Keys of the section ``[cluster]`` that hold a credential for joining.
JoinToken = Literal["token", "pipeline_token"]


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
        token: the credential that the role shows.
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
