"""All events of chat, in the order of the documentation."""

from airnode.chat.classroom.event_types import CLASS_EVENTS
from airnode.chat.rooms.event_types import ROOM_EVENTS, EventType

EVENTS: tuple[EventType, ...] = (*ROOM_EVENTS, *CLASS_EVENTS)
