"""The names of Redis keys and channels.

Keys that one script uses share a hash tag (``{…}``), so that they are in one slot of a Redis Cluster.
"""

PREFIX = "airnode:"


def channel(name: str) -> str:
    """Return the full name of a pub/sub channel such as ``heartbeat`` or ``room.math-1``."""
    return f"{PREFIX}ch:{name}"


def lease_values(group: str) -> str:
    """Return the key of the hash {member: value} of a group of leases."""
    return f"{PREFIX}lease:{{{group}}}:values"


def lease_ends(group: str) -> str:
    """Return the key of the sorted set {member: end of the lease, ms of the server's clock} of a group."""
    return f"{PREFIX}lease:{{{group}}}:ends"


def claim(key: str) -> str:
    """Return the key of the hash {owner, epoch, value} of a claim."""
    return f"{PREFIX}claim:{key}"


def records(table: str) -> str:
    """Return the key of the hash {key: value} of a table of records."""
    return f"{PREFIX}records:{{{table}}}"


def records_next(table: str, nonce: str) -> str:
    """Return the key where the next content of a table is built."""
    return f"{PREFIX}records:{{{table}}}:next:{nonce}"


def node_orders() -> str:
    """Return the key of the hash {node_id: order of an admin}. It is in the same slot as the leases of nodes."""
    return f"{PREFIX}orders:{{nodes}}"


def places(part: str) -> str:
    """Return a key of reserved places.

    Args:
        part: ``values`` {session: node_id}, ``ends`` {session: end, ms} or ``counts`` {node_id: places}.
    """
    return f"{PREFIX}places:{{places}}:{part}"


def chat(*parts: str) -> str:
    """Return a key of chat, such as ``airnode:{chat}:log:<room>``. All of them are in one slot.

    =========================  ======================================================================================
    parts                      value
    =========================  ======================================================================================
    ``head``, room             hash {epoch, offset} of the room's log
    ``log``, room              stream of the room's log; the id of an entry is ``<offset>-1``
    ``state``, room, name      what scripts keep of the room (open poll, hands, …)
    ``sent``, room, user, id   what became of a message that a client may send again
    ``here``, room, node       hash {user id: user} of the people in a room on one node; expires
    ``nodes``, room            sorted set {node id: end of its lease, ms}
    ``session``, pid           what a client was in, for connection state recovery
    ``beat``, node             exists while the node lives, and ``chat.recovery_s`` longer
    ``outbox``                 stream of what the class record takes, of all rooms
    ``record``, …              sessions and attendance, see below
    =========================  ======================================================================================
    """
    return f"{PREFIX}{{chat}}:{':'.join(parts)}"


def class_names(room: str, part: str) -> str:
    """Return a key of the names in a class.

    Args:
        part: ``slots`` {name and number: user}, ``users`` {user: name and number} or ``ends`` {user: end, ms}.
    """
    return f"{PREFIX}names:{{{room}}}:{part}"


# -- the class record: what happened in classes, and who attended -----------------------------------------------------


def classroom_outbox() -> str:
    """Return the key of the stream of facts that are not on the event log yet; see :mod:`airnode.bus.classroom`."""
    return chat("outbox")


def classroom_relayed() -> str:
    """Return the key of a string: number of entries that relays have deleted from the outbox."""
    return chat("record", "relayed")


def class_sessions() -> str:
    """Return the key of the hash {room: ``session id|started|last live|ended``}, in unix ms; ended 0: it is on."""
    return chat("record", "sessions")


def attendance(member: str) -> str:
    """Return the key of the hash {interval id: ``room JSON``} of the open intervals of one run of a node."""
    return f"{PREFIX}{{classroom}}:attendance:{member}"


def attendance_ends() -> str:
    """Return the key of the sorted set {member: end of its lease, ms of the server's clock}."""
    return chat("record", "attendance-ends")


def attendance_beat(member: str) -> str:
    """Return the key of a string: unix ms of the member's last beat; it expires a day after it."""
    return chat("record", "attendance-beat", member)
