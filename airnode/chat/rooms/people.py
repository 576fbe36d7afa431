"""Who is connected: a person, and a connection of that person."""

from typing import Literal, Protocol

import msgspec

from airnode.chat.engineio.encoded import EncodedPacket

UserRole = Literal["student", "teacher"]


class User(msgspec.Struct, frozen=True):
    """A person, as everybody in the room sees it.

    Attributes:
        id: the same in all tokens of this person; media and chat know one person by it.
    """

    id: str
    name: str
    role: UserRole


class Wire(Protocol):
    """What rooms need of a socket."""

    def deliver(self, packet: EncodedPacket) -> bool: ...

    def disconnect(self) -> None: ...

    @property
    def is_slow(self) -> bool: ...


class Visitor:
    """One connected client: ``Socket.state``.

    Attributes:
        ids: all ids of this person, see :attr:`airnode.web.tokens.Claims.ids`.
        only_room: the room that the token opens; empty: any (``chat.access = open``).
        session_id: of the token; players of this person are counted by it.
        expires_at: unix seconds at which the token expires; infinite without a token.
        pid: with it the client may come back, see :mod:`airnode.chat.rooms.recovery`.
        rooms: {room: position at which it joined}.
        missed: {room: (epoch, first, last offset)} of entries that were dropped because the client is slow.
        buckets: {event: (tokens, loop time)}, for the limit of events.
    """

    __slots__ = ("buckets", "expires_at", "ids", "missed", "only_room", "pid", "rooms", "session_id", "user", "wire")

    def __init__(
        self,
        wire: Wire,
        user: User,
        *,
        session_id: str,
        only_room: str,
        expires_at: float,
        pid: str,
        ids: tuple[str, ...] = (),
    ) -> None:
        self.wire = wire
        self.ids = ids or (user.id,)
        self.user = user
        self.session_id = session_id
        self.only_room = only_room
        self.expires_at = expires_at
        self.pid = pid
        self.rooms: dict[str, str] = {}
        self.missed: dict[str, tuple[str, int, int]] | None = None
        self.buckets: dict[str, tuple[float, float]] | None = None

    @property
    def is_teacher(self) -> bool:
        return self.user.role == "teacher"
