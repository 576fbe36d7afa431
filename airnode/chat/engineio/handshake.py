"""The first request of a session: is it one that Engine.IO 4 allows, and what is the answer."""

import enum
import secrets
from collections.abc import Mapping

import orjson

from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.limits import ChatLimits

_REVISION = "4"
_RANDOM_BYTES = 15


class Refusal(enum.Enum):
    """Why a request is refused, with the number and the words of Engine.IO's own server, which clients report."""

    UNKNOWN_TRANSPORT = (0, "Transport unknown")
    UNKNOWN_SID = (1, "Session ID unknown")
    BAD_METHOD = (2, "Bad handshake method")
    BAD_REQUEST = (3, "Bad request")
    FORBIDDEN = (4, "Forbidden")
    UNSUPPORTED_VERSION = (5, "Unsupported protocol version")

    def body(self) -> bytes:
        """Return the JSON body of the answer (status 400, or 403 for FORBIDDEN)."""
        code, message = self.value
        return orjson.dumps({"code": code, "message": message})


def check_query(method: str, query: Mapping[str, str], *, is_upgrade: bool) -> Refusal | None:
    """Return why a request is refused by its method and query alone; None: it is not.

    Args:
        is_upgrade: whether it asks for a WebSocket (RFC 6455 section 4.2.1).
    """
    transport = query.get("transport")
    if transport not in ("polling", "websocket"):
        return Refusal.UNKNOWN_TRANSPORT
    if query.get("EIO") != _REVISION:
        return Refusal.UNSUPPORTED_VERSION
    if (transport == "websocket") != is_upgrade:
        return Refusal.BAD_REQUEST
    if method not in ("GET", "POST") or (method != "GET" and "sid" not in query):
        return Refusal.BAD_METHOD
    return None


def new_sid(node: str) -> str:
    """Return a new session's id: it cannot be guessed, and names the node that has the session."""
    return f"{secrets.token_urlsafe(_RANDOM_BYTES)}.{node}"


def node_of(sid: str) -> str:
    """Return the node that a sid names; empty: none."""
    return sid.partition(".")[2]


def open_packet(sid: str, limits: ChatLimits, *, can_upgrade: bool) -> EncodedPacket:
    """Return the packet that opens a session."""
    data = {
        "sid": sid,
        "upgrades": ["websocket"] if can_upgrade else [],
        "pingInterval": round(limits.ping_interval_s * 1000),
        "pingTimeout": round(limits.ping_timeout_s * 1000),
        "maxPayload": limits.max_payload_bytes,
    }
    return EncodedPacket(b"0" + orjson.dumps(data))
