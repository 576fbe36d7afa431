"""Tokens of viewers, teachers and nodes: HS256 JWTs (RFC 7519), short enough to be part of a path.

Nodes send each other tokens with the same key and ``user_type: "node"``, and edges send ``user_type: "relay"`` to the
node that they pull a class from. No kind is accepted as another.
"""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jwt

from airnode.errors import Forbidden, Removed, Unauthenticated

UserType = Literal["student", "teacher"]

_CACHE_SIZE = 20_000
MAX_TOKEN_CHARS = 3072
#: Decoders skip other characters: with some of them in it, one token would be any number of texts, each in the cache.
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
#: A node's token is checked on another machine, and the clocks may differ a little.
_NODE_TTL_S = 120
#: Ids that the server gives to students. Nobody has one without the signed identity that it stands in.
STUDENT_ID = re.compile(r"st_[A-Za-z0-9_-]{16}\Z")
_MAX_EARLIER_IDS = 4


@dataclass(frozen=True, slots=True)
class Claims:
    """The content of a token: user, user type, room and expiry.

    Attributes:
        session_id: names this one token; viewers are counted by it.
        expires_at: unix seconds.
        name: as it is shown in the class; empty: not known.
        also: other ids of the same student: the signed one, or those that the student gave before.
        own_class: of a teacher who has the key of this class only, and not the teacher secret.
    """

    user_id: str
    user_type: UserType
    room: str
    session_id: str
    expires_at: int
    name: str = ""
    also: tuple[str, ...] = ()
    own_class: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """Return all ids of this person; the first is the one that others see."""
        return (self.user_id, *self.also)

    def require_room(self, room: str) -> None:
        """Raise Forbidden (403) unless the token is for ``room``."""
        if self.room != room:
            raise Forbidden("This token is for another class.")

    def require_teacher(self) -> None:
        """Raise Forbidden (403) unless the bearer is a teacher."""
        if self.user_type != "teacher":
            raise Forbidden("Only a teacher may do this.")

    def require_every_class(self) -> None:
        """Raise Forbidden (403) if the bearer teaches this class only."""
        if self.own_class:
            raise Forbidden("This needs the teacher secret: the key of a class opens this class only.")


@dataclass(frozen=True, slots=True)
class StudentIdentity:
    """Who a student is, in all classes: signed by the server, kept by the browser or the app.

    Attributes:
        earlier: ids that the student gave itself before it had this identity, at most four.
    """

    student_id: str
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RelayClaims:
    """The content of the token that an edge sends to the node that it pulls a room from.

    Attributes:
        tier: 1: it pulls from the origin; 2: from an edge of the first tier.
        scheme, host, port: of its media port, for edges of the second tier; host empty: the same as the master's.
    """

    node_id: str
    room: str
    tier: int
    scheme: str
    host: str
    port: int

    def __post_init__(self) -> None:
        texts = (self.node_id, self.room, self.host)
        if not all(isinstance(text, str) for text in texts) or not self.node_id or self.scheme not in ("http", "https"):
            raise ValueError("a node, a room, a host and a scheme are texts")
        if type(self.tier) is not int or self.tier not in (1, 2):
            raise ValueError("there are two tiers")
        if type(self.port) is not int or not 0 < self.port <= 65535:
            raise ValueError("a port is a number from 1 to 65535")


def is_token(text: str) -> bool:
    """Return whether ``text`` looks like a token rather than a secret: a JWT has three parts, the first is ``{"…``."""
    return text.startswith("eyJ") and text.count(".") == 2


class Tokens:
    """Signs and verifies; verified claims are cached by the token's text.

    Args:
        secret: the HS256 key, 32 bytes or more (RFC 7518 section 3.2).
        ttl_s: how long an issued token is valid.
    """

    def __init__(self, secret: str, ttl_s: float) -> None:
        self._secret = secret
        self._ttl_s = ttl_s
        #: {token text: its claims}, least recently verified first. A hit still has its expiry checked.
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._are_removed: list[Callable[[str, Sequence[str]], bool]] = []

    def refuse_removed(self, are_removed: Callable[[str, Sequence[str]], bool]) -> None:
        """From now on refuse the tokens of students who were removed: it is called with the room and the ids."""
        self._are_removed.append(are_removed)

    def issue(
        self,
        user_id: str,
        user_type: UserType,
        room: str,
        session_id: str | None = None,
        *,
        name: str = "",
        also: tuple[str, ...] = (),
        own_class: bool = False,
    ) -> tuple[str, Claims]:
        """Return the text and the claims of a new token, for a new session or (to renew) for an existing one."""
        now = int(time.time())
        expires_at = now + int(self._ttl_s)
        session_id = session_id or secrets.token_urlsafe(9)
        claims = Claims(user_id, user_type, room, session_id, expires_at, name, also, own_class)
        payload: dict[str, object] = {
            "sub": claims.user_id,
            "user_type": claims.user_type,
            "room": claims.room,
            "sid": claims.session_id,
            "iat": now,
            "exp": claims.expires_at,
        }
        if name:
            payload["name"] = name
        if also:
            payload["also"] = list(also)
        if own_class:
            payload["own_class"] = True
        return jwt.encode(payload, self._secret, algorithm="HS256"), claims

    def verify(self, token: str) -> Claims:
        """Return the claims of a valid token.

        Raises:
            Unauthenticated: (401) missing, malformed, wrongly signed or expired.
            Removed: (403) the teacher removed this student from the class.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > _CACHE_SIZE:
                self._verified.popitem(last=False)
        if claims.expires_at <= time.time():
            self._verified.pop(token, None)
            raise Unauthenticated("The token has expired; ask for a new one.")
        if claims.user_type == "student":
            self.require_not_removed(claims.room, claims.ids)
        return claims

    def require_not_removed(self, room: str, user_ids: Sequence[str]) -> None:
        """Raise Removed (403) if a student with these ids was removed from the class."""
        if any(are_removed(room, user_ids) for are_removed in self._are_removed):
            raise Removed("The teacher removed you from this class.")

    def issue_identity(self, identity: StudentIdentity, ttl_s: float) -> str:
        """Return a student's identity, signed; it is valid for ``ttl_s`` and opens nothing."""
        now = int(time.time())
        payload: dict[str, object] = {
            "sub": identity.student_id,
            "user_type": "identity",
            "iat": now,
            "exp": now + int(ttl_s),
        }
        if identity.earlier:
            payload["also"] = list(identity.earlier[-_MAX_EARLIER_IDS:])
        return jwt.encode(payload, self._secret, algorithm="HS256")

    def verify_identity(self, text: str) -> StudentIdentity:
        """Return a student's identity.

        Raises:
            Unauthenticated: (401) missing, malformed, wrongly signed, expired, or of another kind.
        """
        payload = self._payload(text, ["exp", "sub", "user_type"])
        student_id = payload["sub"]
        if payload["user_type"] != "identity" or not STUDENT_ID.match(str(student_id)):
            raise Unauthenticated("This is not a student's identity.")
        return StudentIdentity(student_id, _texts(payload.get("also", [])))

    def issue_node(self, node_id: str) -> str:
        """Return a token for requests to another node, valid for two minutes."""
        now = int(time.time())
        payload = {"sub": node_id, "user_type": "node", "iat": now, "exp": now + _NODE_TTL_S}
        return jwt.encode(payload, self._secret, algorithm="HS256")

    def verify_node(self, token: str) -> str:
        """Return the id of the node that signed this token.

        Raises:
            Unauthenticated: (401) missing, malformed, wrongly signed or expired.
            Forbidden: (403) it is a valid token of another kind.
        """
        payload = self._payload(token, ["exp", "sub", "user_type"])
        if payload["user_type"] != "node":
            raise Forbidden("Only nodes may do this.")
        return str(payload["sub"])

    def issue_relay(self, claims: RelayClaims) -> str:
        """Return a token for requests of an edge to the node that it pulls a room from, valid for two minutes."""
        now = int(time.time())
        payload = {
            "sub": claims.node_id,
            "user_type": "relay",
            "room": claims.room,
            "tier": claims.tier,
            "at": [claims.scheme, claims.host, claims.port],
            "iat": now,
            "exp": now + _NODE_TTL_S,
        }
        return jwt.encode(payload, self._secret, algorithm="HS256")

    def verify_relay(self, token: str) -> RelayClaims:
        """Return the content of an edge's token.

        Raises:
            Unauthenticated: (401) missing, malformed, wrongly signed or expired.
            Forbidden: (403) it is a valid token of another kind.
        """
        payload = self._payload(token, ["exp", "sub", "user_type"])
        if payload["user_type"] != "relay":
            raise Forbidden("Only an edge may do this, with a credential that names the class and its tier.")
        try:
            scheme, host, port = payload["at"]
            return RelayClaims(payload["sub"], payload["room"], payload["tier"], scheme, host, port)
        except (KeyError, TypeError, ValueError) as error:
            raise Unauthenticated("The token is not valid.", debug=repr(error)) from None

    def _payload(self, token: str, required: list[str]) -> dict[str, Any]:
        if not token:
            raise Unauthenticated("A token is needed; ask POST /api/token for one.")
        if len(token) > MAX_TOKEN_CHARS or not _JWT.match(token):
            raise Unauthenticated("The token is not valid.")
        try:
            payload: dict[str, Any] = jwt.decode(
                token, self._secret, algorithms=["HS256"], options={"require": required, "verify_iat": False}
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired; ask for a new one.") from None
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthenticated("The token is not valid.", debug=repr(error)) from None
        return payload

    def _decode(self, token: str) -> Claims:
        payload = self._payload(token, ["exp", "sub", "room", "sid", "user_type"])
        user_type = payload["user_type"]
        texts = (payload["sub"], payload["room"], payload["sid"], payload.get("name", ""))
        if user_type not in ("student", "teacher") or any(not isinstance(each, str) or "\0" in each for each in texts):
            raise Unauthenticated("The token is not valid.")
        also = _texts(payload.get("also", []))
        sub, room, session_id, name = texts
        own_class = bool(payload.get("own_class", False))
        return Claims(sub, user_type, room, session_id, int(payload["exp"]), name, also, own_class)


def new_student_id() -> str:
    """Return an id that no other student has."""
    return f"st_{secrets.token_urlsafe(12)}"


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Unauthenticated("The token is not valid.")
    return tuple(value)
