"""Dead letters: records that could not be inserted.

They are published with the reason to the topic ``dead-letters``, stored in a table, and can be replayed later. On the
topic, a record keeps its key and its value. Its headers are::

    reason, detail, topic, partition, offset, group, attempts, died_at
"""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airnode.store.eventlog.log import Delivered, Partition, Record

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

TOPIC = "dead-letters"
GROUP = "dead_letters_group"
#: Header of a record: number of earlier attempts. It is set when a dead letter is replayed.
ATTEMPTS = "attempts"
_SPACE = uuid.UUID("6a1f8f6e-1a3e-5c53-9a53-0d3f3a3c1b11")
_DETAIL_CHARS = 500
#: The reason if the whole record is too large for the log, and how much of its value and key is kept then.
TOO_LARGE = "too_large"
_KEPT_BYTES, _KEPT_KEY_CHARS = 16 << 10, 1000
_MAX_INT, _MAX_BIGINT = 2**31 - 1, 2**63 - 1

_INSERT = """
INSERT INTO pipeline.dead_letters
    (letter_id, topic, partition, log_offset, key, value, reason, detail, attempts, group_id, died_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::bigint[], $5::text[], $6::bytea[], $7::text[],
                     $8::text[], $9::integer[], $10::text[], $11::timestamptz[])
ON CONFLICT (letter_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter.

    Attributes:
        position: partition of the record.
        attempts: number of attempts to insert the record, including the last one.
    """

    position: Partition
    offset: int
    key: str
    value: bytes
    reason: str
    detail: str
    attempts: int
    group: str
    died_at: datetime

    @property
    def letter_id(self) -> uuid.UUID:
        """Return the id. It stays the same if the same failure is published several times.

        It depends on the value, too, because offsets restart when a topic is created again.
        """
        where = f"{self.group}/{self.position.topic}/{self.position.number}/{self.offset}/{self.attempts}"
        return uuid.uuid5(_SPACE, f"{where}/{hashlib.sha256(self.value).hexdigest()}")

    def shortened(self) -> "DeadLetter":
        """Return a shortened dead letter, for a record that is too large to be published."""
        detail = f"{len(self.value)} bytes, of which the first {_KEPT_BYTES} are kept; {self.reason}: {self.detail}"
        return replace(
            self,
            key=self.key[:_KEPT_KEY_CHARS],
            value=self.value[:_KEPT_BYTES],
            reason=TOO_LARGE,
            detail=detail[:_DETAIL_CHARS],
        )

    def record(self) -> Record:
        """Return the record for the topic of dead letters."""
        headers = {
            "reason": self.reason,
            "detail": self.detail,
            "topic": self.position.topic,
            "partition": str(self.position.number),
            "offset": str(self.offset),
            "group": self.group,
            ATTEMPTS: str(self.attempts),
            "died_at": self.died_at.isoformat(),
        }
        return Record(TOPIC, self.key, self.value, tuple((name, text.encode()) for name, text in headers.items()))


def make_dead_letter(record: Delivered, reason: str, detail: str, group: str) -> DeadLetter:
    """Return the dead letter of a record."""
    return DeadLetter(
        record.partition,
        record.offset,
        record.key,
        record.value,
        reason,
        detail[:_DETAIL_CHARS],
        attempts_of(record) + 1,
        group,
        datetime.now(UTC),
    )


def attempts_of(record: Delivered) -> int:
    """Return the number of earlier attempts of a record."""
    text = dict(record.headers).get(ATTEMPTS, b"0")
    return int(text) if text.isdigit() and len(text) < 9 else 0


def parse_dead_letter(record: Delivered) -> DeadLetter:
    """Return the dead letter in a record of the topic; missing or malformed headers become empty values."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}

    def number(name: str, most: int) -> int:
        text = headers.get(name, "")
        return min(int(text), most) if text.isdecimal() and len(text) < 40 else 0

    try:
        parsed = datetime.fromisoformat(headers.get("died_at", ""))
        died_at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        died_at = datetime.fromtimestamp(record.stored_at, UTC)
    return DeadLetter(
        Partition(headers.get("topic", ""), number("partition", _MAX_INT)),
        number("offset", _MAX_BIGINT),
        record.key,
        record.value,
        headers.get("reason", "unknown"),
        headers.get("detail", ""),
        number(ATTEMPTS, _MAX_INT),
        headers.get("group", ""),
        died_at,
    )


async def store_dead_letters(connection: "PoolConnectionProxy[Any]", letters: Sequence[DeadLetter]) -> None:
    """Insert dead letters into the table, each once."""
    await connection.execute(
        _INSERT,
        [each.letter_id for each in letters],
        [_storable(each.position.topic) for each in letters],
        [each.position.number for each in letters],
        [each.offset for each in letters],
        [_storable(each.key) for each in letters],
        [each.value for each in letters],
        [_storable(each.reason) for each in letters],
        [_storable(each.detail) for each in letters],
        [each.attempts for each in letters],
        [_storable(each.group) for each in letters],
        [each.died_at for each in letters],
    )


def _storable(text: str) -> str:
    """Return the text without NUL, which PostgreSQL cannot store."""
    return text.replace("\0", "\ufffd")
