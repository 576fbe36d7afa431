"""The events of rooms: their arguments, as structs. The documentation's schemas are generated from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from airnode.chat.rooms.people import User
from airnode.errors import FieldError, InvalidInput

T = TypeVar("T")

RoomName = Annotated[str, Meta(min_length=1, max_length=128, description="Name of a room, as in the token.")]
Offset = Annotated[int, Meta(ge=0, le=2**53)]
UnixMs = Annotated[int, Meta(description="Unix time in milliseconds.")]


@dataclass(frozen=True, slots=True)
class EventType:
    """One event.

    Attributes:
        forms: the types of its arguments; several where it has several forms.
        ack: what the acknowledgement says besides ``ok``; None: only that.
    """

    name: str
    sender: Literal["client", "server"]
    about: str
    forms: Sequence[tuple[Any, ...]]
    ack: Any = None


class Content(msgspec.Struct):
    """A message as its sender gives it.

    Attributes:
        type: any word; clients choose by it how to show the message.
        client_id: of the sender's choice; sent again with the same one, the message is stored once.
    """

    content: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1, max_length=32)] = "text"
    client_id: Annotated[str, Meta(max_length=64)] = ""


class ContentFor(msgspec.Struct):
    """The same with its room, the one-argument form."""

    roomId: RoomName  # noqa: N815 - promised to existing clients
    content: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1, max_length=32)] = "text"
    client_id: Annotated[str, Meta(max_length=64)] = ""


class HistoryRequest(msgspec.Struct):
    """Which messages: the newest ones below `before`, or the oldest ones above `after`; without both the newest."""

    room: RoomName
    before: Offset | None = None
    after: Offset | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class ChatMessage(msgspec.Struct):
    """A message. `offset` is its position in the room's log, within `epoch`."""

    id: str
    room: RoomName
    epoch: str
    offset: Offset
    at: UnixMs
    user: User
    content: str
    type: str


class Members(msgspec.Struct, omit_defaults=True):
    """How many people are in a room, and who; `users` is missing above `chat.presence_users`."""

    count: int
    users: list[User] | None = None


class Joined(msgspec.Struct):
    """Where a room is. `you`: who you are there. `more`: there are older messages.

    `state`: see the events of a class.
    """

    room: RoomName
    epoch: str
    offset: Offset
    you: User
    members: Members
    messages: list[ChatMessage]
    more: bool
    state: dict[str, Any]


class Sent(msgspec.Struct):
    """Where a message is now. An epoch that begins with `~`: Redis is away, and only this node has it so far."""

    id: str
    epoch: str
    offset: Offset
    at: UnixMs


class History(msgspec.Struct):
    """Messages, oldest first. `more`: there are more in that direction."""

    epoch: str
    messages: list[ChatMessage]
    more: bool


class Renewed(msgspec.Struct):
    """Until when the new token is valid, in unix seconds."""

    expires_at: int


class PresenceUpdate(msgspec.Struct, omit_defaults=True):
    """Who came and went; `joined` and `left` (ids) are missing above `chat.presence_users`.

    The first one after that says in `joined` who is there altogether.
    """

    room: RoomName
    count: int
    joined: list[User] | None = None
    left: list[str] | None = None


class Gap(msgspec.Struct):
    """Entries that this client did not get, or that are lost: `from` to `to`, both included."""

    room: RoomName
    epoch: str
    from_: Offset = msgspec.field(name="from")
    to: Offset


class RoomOnly(msgspec.Struct):
    """The room."""

    room: RoomName


class ErrorFields(msgspec.Struct, omit_defaults=True):
    """What went wrong: `code` for programs, `title` and `detail` for people."""

    code: str
    title: str
    detail: str
    retry_after_s: float | None = None
    errors: list[dict[str, str]] | None = None


ROOM_EVENTS = (
    EventType("joinRoom", "client", "Enter a room.", [(RoomName,)], Joined),
    EventType("leaveRoom", "client", "Leave a room.", [(RoomName,)]),
    EventType("sendMessage", "client", "Send a message.", [(RoomName, Content), (ContentFor,)], Sent),
    EventType("history", "client", "Read older messages, or those that a gap names.", [(HistoryRequest,)], History),
    EventType("presence", "client", "Ask who is in a room.", [(RoomName,)], Members),
    EventType("token", "client", "Give a newer token, before the present one expires.", [(str,)], Renewed),
    EventType(
        "message", "server", "Somebody sent a message. The second argument is its position.", [(ChatMessage, str)]
    ),
    EventType("presence", "server", "Who came and went, at most once per second.", [(PresenceUpdate,)]),
    EventType("gap", "server", "Something is missing; ask for it with `history`.", [(Gap, str)]),
    EventType("removed", "server", "A teacher removed you; the connection ends.", [(RoomOnly,)]),
    EventType("error", "server", "An event without acknowledgement failed, or the token expired.", [(ErrorFields,)]),
)


def read_args(event: str, args: list[object], *forms: tuple[Any, ...]) -> list[Any]:
    """Return an event's arguments as the types of the form that has as many. More arguments than that are ignored.

    Raises:
        InvalidInput: (400) they are none of the forms.
    """
    form = max((form for form in forms if len(form) <= len(args)), key=len, default=None)
    if len(forms) > 1 and args and not isinstance(args[0], str):
        form = next((form for form in forms if len(form) == 1), form)
    if form is None:
        raise InvalidInput(f"{event} needs {min(map(len, forms))} or more arguments.")
    return [
        convert(f"{event}[{number}]", value, kind) for number, (value, kind) in enumerate(zip(args, form, strict=False))
    ]


def convert(path: str, value: object, kind: type[T]) -> T:
    """Return a value as a type.

    Raises:
        InvalidInput: (400) it is not of this type.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}: {error}", errors=[FieldError(path, str(error))]) from None
