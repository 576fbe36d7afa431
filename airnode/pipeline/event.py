"""The fields that all events of the pipeline have."""

import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

import msgspec

from airnode.pipeline.uuid7 import uuid7
from airnode.store.eventlog.log import Record

VERSION = 1

Topic = Literal["users", "products", "orders", "classroom"]
#: The topic of what happened in classes.
CLASSROOM: Topic = "classroom"


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Fields of all events.

    Attributes:
        occurred_at: with a time zone.
        key: events with the same key stay in order.
    """

    topic: ClassVar[Topic]

    v: int = VERSION
    event_id: uuid.UUID
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    key: str

    def record(self) -> Record:
        """Return the record to publish."""
        return Record(self.topic, self.key, _encoder.encode(self))


_encoder = msgspec.json.Encoder()


def new_id_and_time() -> tuple[uuid.UUID, datetime]:
    """Return the id and the time of an event that happens now."""
    now_ns = time.time_ns()
    return uuid7(now_ns // 1_000_000), datetime.fromtimestamp(now_ns / 1e9, UTC)
