"""Events about users, products (courses) and orders, and what happened in classes (:mod:`.classroom_events`).

On the log an event is a JSON object in UTF-8::

    {"type": "order.placed", "v": 1, "event_id": "0191…", "occurred_at": "2026-11-22T05:00:00.123Z", "key": "17",
     "user_id": 17, "product_id": 5, "quantity": 1, "unit_price_krw": 99000}

``event_id`` is created once, with the event: two records with the same id are the same event. A reader ignores members
that it does not know, and cannot decode a version that it does not know.
"""

from typing import ClassVar, Literal

import msgspec

from airnode.pipeline.classroom_events import (
    Attended,
    HandChanged,
    MessageDeleted,
    MessageSent,
    PollAnswered,
    PollChanged,
    QuestionChanged,
    SessionEnded,
    SessionStarted,
)
from airnode.pipeline.event import VERSION, Event, Topic

#: The topics of the pipeline's own data. What happened in classes has a topic of its own.
TOPICS: tuple[Topic, ...] = ("users", "products", "orders")


class EventDecodeError(Exception):
    """A record that is not a valid event; ``reason`` is a label of the metric and of the dead letter."""

    def __init__(self, reason: Literal["not_json", "unknown_version", "unknown_type", "invalid"], detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _UserEvent(Event, frozen=True, kw_only=True):
    topic: ClassVar[Topic] = "users"

    user_id: int


class UserRegistered(_UserEvent, frozen=True, kw_only=True, tag="user.registered"):
    """A new customer."""

    name: str
    email: str


class UserSignedIn(_UserEvent, frozen=True, kw_only=True, tag="user.signed_in"):
    """A customer signed in."""


class _ProductEvent(Event, frozen=True, kw_only=True):
    topic: ClassVar[Topic] = "products"

    product_id: int


class ProductViewed(_ProductEvent, frozen=True, kw_only=True, tag="product.viewed"):
    """A customer viewed a course."""

    user_id: int


class ProductPriceChanged(_ProductEvent, frozen=True, kw_only=True, tag="product.price_changed"):
    """The price of a course changed."""

    price_krw: int


class OrderPlaced(Event, frozen=True, kw_only=True, tag="order.placed"):
    """A customer ordered a course; the id of the order is ``event_id``."""

    topic: ClassVar[Topic] = "orders"

    user_id: int
    product_id: int
    quantity: int
    unit_price_krw: int


ClassroomEvent = (
    SessionStarted
    | SessionEnded
    | Attended
    | MessageSent
    | MessageDeleted
    | QuestionChanged
    | PollChanged
    | PollAnswered
    | HandChanged
)
AnyEvent = UserRegistered | UserSignedIn | ProductViewed | ProductPriceChanged | OrderPlaced | ClassroomEvent


class _Head(msgspec.Struct):
    type: str
    v: int


_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_heads = msgspec.json.Decoder(_Head)
_TYPES = frozenset(each.__struct_config__.tag for each in AnyEvent.__args__)


def decode_event(value: bytes, topic: str) -> AnyEvent:
    """Return the event in a record of a topic.

    Raises:
        EventDecodeError: the record can never be decoded.
    """
    try:
        value.decode()  # the decoder does not check the bytes of members that it skips
        event = _decoder.decode(value)
    except UnicodeDecodeError as error:
        raise EventDecodeError("not_json", f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    except msgspec.DecodeError as error:
        raise _decode_error(value, error) from None
    except RecursionError:
        raise EventDecodeError("invalid", "it is nested too deeply") from None
    if event.v != VERSION:
        raise _unknown_version(event.v)
    if event.topic != topic:
        raise EventDecodeError("invalid", f"{type(event).__struct_config__.tag} does not belong into the topic {topic}")
    return event


def _decode_error(value: bytes, error: msgspec.DecodeError) -> EventDecodeError:
    try:
        head = _heads.decode(value)
    except msgspec.ValidationError:
        return EventDecodeError("invalid", str(error))
    except msgspec.DecodeError:
        return EventDecodeError("not_json", str(error))
    if head.v != VERSION:
        return _unknown_version(head.v)
    if head.type not in _TYPES:
        return EventDecodeError("unknown_type", f"there is no event {head.type[:80]!r}")
    return EventDecodeError("invalid", str(error))


def _unknown_version(version: int) -> EventDecodeError:
    return EventDecodeError("unknown_version", f"version {version}; this airnode reads {VERSION}")
