"""Tokens that viewers and teachers carry: HS256 JWTs (RFC 7519), short enough to ride in a path."""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import jwt

from airnode.errors import Forbidden, Unauthenticated

UserType = Literal["student", "teacher"]

_CACHE_SIZE = 20_000
_MAX_TOKEN_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: who, as what, in which room, until when.

    Attributes:
        session_id: names this one token; viewers are counted by it.
        expires_at: unix seconds.
    """

    user_id: str
    user_type: UserType
    room: str
    session_id: str
    expires_at: int

    def require_room(self, room: str) -> None:
        """Raise Forbidden (403) unless the token is for ``room``."""
        if self.room != room:
            raise Forbidden("This token is for another class.")

    def require_teacher(self) -> None:
        """Raise Forbidden (403) unless the bearer is a teacher."""
        if self.user_type != "teacher":
            raise Forbidden("Only a teacher may do this.")


def is_token(text: str) -> bool:
    """Whether ``text`` looks like a token rather than a secret: a JWT is three parts, the first of them ``{"…``."""
    return text.startswith("eyJ") and text.count(".") == 2


class Tokens:
    """Signs and verifies; verified claims are cached by the token's text.

    Args:
        secret: the HS256 key, 32 bytes or more (RFC 7518 section 3.2).
        ttl_s: how long an issued token is good for.
    """

    def __init__(self, secret: str, ttl_s: float) -> None:
        self._secret = secret
        self._ttl_s = ttl_s
        #: {token text: its claims}, least recently verified first. A hit still has its expiry checked.
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, user_id: str, user_type: UserType, room: str, session_id: str | None = None) -> tuple[str, Claims]:
        """Sign a new token, of a new session or (a renewal) of one that is there. Returns its text and its claims."""
        now = int(time.time())
        claims = Claims(user_id, user_type, room, session_id or secrets.token_urlsafe(9), now + int(self._ttl_s))
        payload = {
            "sub": claims.user_id,
            "user_type": claims.user_type,
            "room": claims.room,
            "sid": claims.session_id,
            "iat": now,
            "exp": claims.expires_at,
        }
        return jwt.encode(payload, self._secret, algorithm="HS256"), claims

    def verify(self, token: str) -> Claims:
        """Return the claims of a good token.

        Raises:
            Unauthenticated: (401) missing, malformed, wrongly signed or expired.
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
        return claims

    def _decode(self, token: str) -> Claims:
        if not token:
            raise Unauthenticated("A token is needed; ask POST /api/token for one.")
        if len(token) > _MAX_TOKEN_CHARS:
            raise Unauthenticated("The token is not valid.")
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                options={"require": ["exp", "sub", "room", "sid", "user_type"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired; ask for a new one.") from None
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthenticated("The token is not valid.", debug=repr(error)) from None
        user_type = payload["user_type"]
        texts = (payload["sub"], payload["room"], payload["sid"])
        if user_type not in ("student", "teacher") or not all(isinstance(text, str) for text in texts):
            raise Unauthenticated("The token is not valid.")
        return Claims(payload["sub"], user_type, payload["room"], payload["sid"], int(payload["exp"]))
