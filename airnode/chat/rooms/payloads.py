"""What clients get: the entries of a log as events, each encoded once."""

from collections.abc import Iterable

import msgspec
import orjson

from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.rooms.log import LogEntry
from airnode.chat.socketio.packets import encode_event

NAMESPACE = "/"


def payload(entry: LogEntry) -> bytes:
    """Return the object that clients get: the entry's data with ``room``, ``epoch``, ``offset``, ``at``; a message
    also has its ``id``.
    """
    head: dict[str, object] = {
        "room": entry.room,
        "epoch": entry.epoch,
        "offset": entry.offset,
        "at": entry.at,
    }
    if entry.event == "message":
        head = {"id": entry.id, **head}
    data = bytes(entry.data)
    rest = b"}" if data == b"{}" else b"," + data[1:]
    return orjson.dumps(head)[:-1] + rest


def entry_packet(entry: LogEntry, body: bytes) -> EncodedPacket:
    """Return the event of an entry. Its last argument is the position, which official clients send when they return."""
    return encode_event(NAMESPACE, entry.event, [orjson.Fragment(body), entry.position])


def signal_packet(event: str, body: bytes | dict[str, object]) -> EncodedPacket:
    """Return an event that has no position in the log."""
    return encode_event(NAMESPACE, event, [orjson.Fragment(body) if isinstance(body, bytes) else body])


def gap_packet(room: str, epoch: str, first: int, last: int, position: str = "") -> EncodedPacket:
    """Return the event that says which entries a client did not get; it asks for them with ``history``.

    Args:
        position: where the client is now; empty: after the last of them.
    """
    body = {"room": room, "epoch": epoch, "from": first, "to": last}
    return encode_event(NAMESPACE, "gap", [body, position or f"{epoch}:{last}"])


def first_within(bodies: Iterable[bytes], max_bytes: int) -> list[bytes]:
    """Return the first bodies that are at most ``max_bytes`` together, at least one."""
    found: list[bytes] = []
    size_bytes = 0
    for body in bodies:
        size_bytes += len(body)
        if found and size_bytes > max_bytes:
            break
        found.append(body)
    return found


def array(bodies: Iterable[bytes]) -> orjson.Fragment:
    """Return a JSON array of objects that are encoded already."""
    return orjson.Fragment(b"[" + b",".join(bodies) + b"]")


def erased_id(entry: LogEntry) -> str:
    """Return the id of the message that an entry deletes; empty if it deletes none."""
    if entry.event != "moderation":
        return ""
    found = msgspec.json.decode(entry.data)
    erased = found.get("deleted") if isinstance(found, dict) else None
    return erased if isinstance(erased, str) else ""
