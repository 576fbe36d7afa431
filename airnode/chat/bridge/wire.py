"""The wire format of ``@socket.io/redis-adapter`` 8, namespace ``/``. No I/O.

==========================  ===============  ====================================================================
channel                     encoding         content
==========================  ===============  ====================================================================
``socket.io#/#``            MessagePack      ``[uid, packet, {rooms, except, flags}]``: an event for sockets
``socket.io#/#<room>#``     MessagePack      the same, if it is for exactly one room
``socket.io-request#/#``    JSON, or         ``{uid, type, requestId?, …}``; every server answers, and the asking
                            MessagePack      one waits for as many answers as the channel has subscribers
``socket.io-response#/#``   the same         ``{requestId, …}``
==========================  ===============  ====================================================================

A packet is ``{type: 2, data: [event, …], nsp: "/"}``; type 2 is EVENT, binary or not.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

BROADCASTS = "socket.io#/#*"
BROADCAST = "socket.io#/#"
REQUEST = "socket.io-request#/#"
RESPONSE = "socket.io-response#/#"
#: What the uids of airnode's nodes begin with. They ignore each other here: their own bus connects them.
OWN_UIDS = "airnode-"
_EVENT_TYPES = (2, 5)


class RequestType(enum.IntEnum):
    """What a server asks of the others."""

    SOCKETS = 0
    ALL_ROOMS = 1
    REMOTE_JOIN = 2
    REMOTE_LEAVE = 3
    REMOTE_DISCONNECT = 4
    REMOTE_FETCH = 5
    SERVER_SIDE_EMIT = 6
    BROADCAST = 7
    BROADCAST_CLIENT_COUNT = 8
    BROADCAST_ACK = 9


class NotNodeFormat(ValueError):
    """A message is none of this format."""


@dataclass(frozen=True, slots=True)
class SocketTarget:
    """Whom something is for: sockets in any of the rooms (none: all sockets) and in none of ``but``.

    A socket's id is a room, too, which only that socket is in.
    """

    rooms: frozenset[str] = frozenset()
    but: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """An event of a Node.js server for sockets."""

    name: str
    args: list[Any]
    target: SocketTarget


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """A question of a Node.js server.

    Attributes:
        target: the sockets that are meant.
        rooms: the rooms that they are to join or leave.
        sid: the one socket that older servers name instead of a target.
        event: what BROADCAST wants to be acknowledged. timeout_s: how long it waits.
    """

    type: RequestType
    request_id: str
    target: SocketTarget
    rooms: tuple[str, ...] = ()
    sid: str = ""
    close: bool = False
    event: NodeEvent | None = None
    timeout_s: float = 5.0


_unpack = msgspec.msgpack.Decoder(ext_hook=lambda code, data: None)


def read_broadcast(data: bytes) -> NodeEvent | None:
    """Return the event of a broadcast; None if it is an own one, or not for the namespace ``/``.

    Raises:
        NotNodeFormat: it is not of this format.
    """
    match _unpacked(data):
        case [str(uid), dict(packet), *rest]:
            if uid.startswith(OWN_UIDS) or packet.get("nsp", "/") != "/":
                return None
            return _event(packet, _target(rest[0] if rest else None))
    raise NotNodeFormat("a broadcast")


def read_request(data: bytes) -> NodeRequest | None:
    """Return a request; None if an own node asks, or if the type is not known.

    Raises:
        NotNodeFormat: it is not of this format.
    """
    given = _loaded(data) if data[:1] == b"{" else _unpacked(data)
    if not isinstance(given, dict):
        raise NotNodeFormat("a request")
    uid, kind = given.get("uid"), given.get("type")
    if isinstance(uid, str) and uid.startswith(OWN_UIDS):
        return None
    if not isinstance(kind, int) or kind not in RequestType.__members__.values():
        return None
    options = given.get("opts")
    target = _target(options if options is not None else {"rooms": given.get("rooms")})
    room = given.get("room")
    rooms = _texts(given.get("rooms")) | ({str(room)} if isinstance(room, str) else set())
    flags = options.get("flags") if isinstance(options, dict) else None
    timeout_ms = flags.get("timeout") if isinstance(flags, dict) else None
    return NodeRequest(
        RequestType(kind),
        str(given.get("requestId") or ""),
        target,
        tuple(sorted(rooms)),
        str(given.get("sid") or ""),
        bool(given.get("close")),
        _event(given["packet"], target) if isinstance(given.get("packet"), dict) else None,
        min(60.0, timeout_ms / 1000) if isinstance(timeout_ms, int | float) and timeout_ms > 0 else 5.0,
    )


def broadcast(uid: str, room: str, event: str, args: Sequence[object]) -> tuple[str, bytes]:
    """Return the channel and the message of an event for one room."""
    packet = {"type": 2, "data": [event, *args], "nsp": "/"}
    options = {"rooms": [room], "except": [], "flags": {}}
    return f"{BROADCAST}{room}#", msgspec.msgpack.encode([uid, packet, options])


def response(request: NodeRequest, **members: object) -> bytes:
    """Return the answer to a request."""
    return orjson.dumps({"requestId": request.request_id, **members})


def ack_response(request: NodeRequest, answer: object) -> bytes:
    """Return the answer of one client to a broadcast with acknowledgements."""
    members = {"type": int(RequestType.BROADCAST_ACK), "requestId": request.request_id, "packet": answer}
    return msgspec.msgpack.encode(members)


def _event(packet: dict[Any, Any], target: SocketTarget) -> NodeEvent:
    match packet.get("type"), packet.get("data"):
        case int(kind), [str(name), *args] if kind in _EVENT_TYPES:
            return NodeEvent(name, args, target)
    raise NotNodeFormat("a packet")


def _target(options: object) -> SocketTarget:
    given = options if isinstance(options, dict) else {}
    return SocketTarget(frozenset(_texts(given.get("rooms"))), frozenset(_texts(given.get("except"))))


def _texts(value: object) -> set[str]:
    """Return the names of rooms; Node.js takes numbers for rooms, too."""
    return {str(each) for each in value if isinstance(each, str | int)} if isinstance(value, list) else set()


def _unpacked(data: bytes) -> Any:
    try:
        return _unpack.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotNodeFormat("MessagePack") from error


def _loaded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotNodeFormat("JSON") from error
