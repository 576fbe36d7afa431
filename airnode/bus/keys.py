"""Every Redis key and channel name.

Names that are used in one script share a hash tag (``{…}``), so that they live in one slot of a Redis Cluster.
"""

PREFIX = "airnode:"


def channel(name: str) -> str:
    """Pub/sub channel, such as ``heartbeat`` or ``room.math-1``."""
    return f"{PREFIX}ch:{name}"


def lease_values(group: str) -> str:
    """Hash {member: value} of a group of leases."""
    return f"{PREFIX}lease:{{{group}}}:values"


def lease_ends(group: str) -> str:
    """Sorted set {member: end of the lease, ms of the server's clock} of a group of leases."""
    return f"{PREFIX}lease:{{{group}}}:ends"


def claim(key: str) -> str:
    """Hash {owner, epoch, value} of one claim."""
    return f"{PREFIX}claim:{key}"


def records(table: str) -> str:
    """Hash {key: value} of a table of records."""
    return f"{PREFIX}records:{{{table}}}"


def records_next(table: str, nonce: str) -> str:
    """Where the next content of a table is put together."""
    return f"{PREFIX}records:{{{table}}}:next:{nonce}"


def node_orders() -> str:
    """Hash {node_id: what an admin wants of it}; in one slot with the leases and records of nodes."""
    return f"{PREFIX}orders:{{nodes}}"


def places(part: str) -> str:
    """Reserved places: ``values`` {session: node_id}, ``ends`` {session: end, ms}, ``counts`` {node_id: places}."""
    return f"{PREFIX}places:{{places}}:{part}"
