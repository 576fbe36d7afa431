"""Who may connect, and which rooms that opens."""

import math
import re
import secrets
from typing import Any, Literal, Protocol

import msgspec

from airnode.chat.rooms.people import User, Visitor, Wire
from airnode.errors import Forbidden, InvalidInput, Unauthenticated
from airnode.web.tokens import MAX_TOKEN_CHARS, Claims, Tokens

#: Rooms of classes are narrower; old clients use their own names. No colon: it separates the parts of keys.
_ROOM = re.compile(r"\w[\w .@+-]{0,127}\Z")
_MAX_NAME_CHARS = 64
#: Longest member of CONNECT's payload.
_MAX_AUTH_CHARS = MAX_TOKEN_CHARS


class ConnectAuth(msgspec.Struct):
    """The payload of CONNECT (``auth`` of official clients).

    Attributes:
        token: a JWT of POST /api/token. name: only where `chat.access` is `open`; a token has its own.
        pid, offset: sent by the official client when it comes back.
    """

    token: str = ""
    name: str = ""
    pid: str = ""
    offset: str = ""


class SocketInfo(Wire, Protocol):
    """What is known of a socket that connects."""

    @property
    def address(self) -> str: ...


def read_auth(auth: object) -> ConnectAuth:
    """Return the payload of CONNECT. What is no text, or too long, counts as missing: apps add members of their own."""
    given: dict[Any, Any] = auth if isinstance(auth, dict) else {}
    texts = {name: given.get(name) for name in ConnectAuth.__struct_fields__}
    return ConnectAuth(
        **{name: text for name, text in texts.items() if isinstance(text, str) and len(text) <= _MAX_AUTH_CHARS}
    )


def check_room(room: str) -> str:
    """Return the name of a room.

    Raises:
        InvalidInput: (400) it cannot be one.
    """
    if not _ROOM.match(room):
        raise InvalidInput("A room's name has 1 to 128 letters, digits, blanks and any of - _ . @ +")
    return room


class Admission:
    """Admits clients by their token, or everybody.

    Args:
        access: the value of ``chat.access``.
    """

    def __init__(self, tokens: Tokens, access: Literal["token", "open"]) -> None:
        self._tokens = tokens
        self._access = access

    @property
    def is_open(self) -> bool:
        return self._access == "open"

    def visitor(self, wire: Wire, auth: ConnectAuth) -> Visitor:
        """Return who connects.

        Raises:
            Unauthenticated: (401) the token is missing, not valid or expired.
            Forbidden: (403) its bearer was removed from the class.
        """
        pid = secrets.token_urlsafe(15)
        if not auth.token and self.is_open:
            user = User(f"guest-{secrets.token_hex(6)}", _shown(auth.name) or "Guest", "student")
            return Visitor(wire, user, session_id="", only_room="", expires_at=math.inf, pid=pid)
        claims = self._tokens.verify(auth.token)
        return Visitor(
            wire,
            _user(claims),
            session_id=claims.session_id,
            only_room=claims.room,
            expires_at=claims.expires_at,
            pid=pid,
            ids=claims.ids,
        )

    def require_not_removed(self, visitor: Visitor) -> None:
        """Raise Removed (403) if a teacher has removed this student."""
        if visitor.only_room and not visitor.is_teacher:
            self._tokens.require_not_removed(visitor.only_room, visitor.ids)

    def renew(self, visitor: Visitor, token: str) -> None:
        """Take a newer token of the same person for the same room.

        Raises:
            Unauthenticated: (401) it is not valid. Forbidden: (403) it is for somebody else, or for another room.
        """
        claims = self._tokens.verify(token)
        if (claims.user_id, claims.user_type) != (visitor.user.id, visitor.user.role):
            raise Forbidden("This token is somebody else's; connect anew with it.")
        claims.require_room(visitor.only_room)
        visitor.session_id, visitor.expires_at, visitor.ids = claims.session_id, claims.expires_at, claims.ids

    def require_room(self, visitor: Visitor, room: str, now_s: float) -> None:
        """Check that somebody may be in a room now.

        Args:
            now_s: unix seconds.

        Raises:
            Unauthenticated: (401) the token expired. Forbidden: (403) it is for another room.
        """
        if visitor.expires_at <= now_s:
            raise Unauthenticated("The token has expired; ask for a new one, and send it with the event token.")
        if visitor.only_room and visitor.only_room != room:
            raise Forbidden("This token is for another class.")


def _user(claims: Claims) -> User:
    return User(claims.user_id, claims.name or claims.user_id, claims.user_type)


def _shown(name: str) -> str:
    return "".join(char for char in name if char.isprintable()).strip()[:_MAX_NAME_CHARS]
