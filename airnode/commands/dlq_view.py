"""Dead letters as text and as JSON. Their content is untrusted: control characters are removed."""

import json
from collections.abc import Sequence
from typing import Any

from airnode.pipeline.admin.dlq import Selection, StoredDeadLetter

_SHORT_ID = 13
_DETAIL_CHARS = 70
_HEX_LINE = 32


def table(letters: Sequence[StoredDeadLetter]) -> str:
    """Return one line per letter."""
    if not letters:
        return "No dead letters."
    rows = [("id", "died at", "position", "tries", "reason", "replayed", "detail")]
    rows += [
        (
            str(each.letter_id)[:_SHORT_ID],
            f"{each.died_at:%Y-%m-%d %H:%M:%S}",
            printable(each.position),
            str(each.attempts),
            printable(each.reason),
            "yes" if each.replayed_at else "",
            printable(each.detail).replace("\n", " ")[:_DETAIL_CHARS],
        )
        for each in letters
    ]
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return aligned rows, the headings first."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] + [0]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def page(letter: StoredDeadLetter) -> str:
    """Return one letter in full; its value as JSON if possible, else in hexadecimal."""
    facts = {
        "id": str(letter.letter_id),
        "position": letter.position,
        "key": letter.key,
        "reason": letter.reason,
        "detail": letter.detail,
        "tries": str(letter.attempts),
        "group": letter.group_id,
        "died at": letter.died_at.isoformat(),
        "replayed at": letter.replayed_at.isoformat() if letter.replayed_at else "never",
    }
    lines = [f"{name.ljust(11)}  {printable(text)}" for name, text in facts.items()]
    return "\n".join([*lines, "", printable(_value_text(letter.value))])


def as_json(letters: Sequence[StoredDeadLetter]) -> str:
    """Return a JSON list of objects."""
    return json.dumps([document(each) for each in letters], indent=2)


def document(letter: StoredDeadLetter) -> dict[str, Any]:
    """Return one letter as an object: ``value`` if it is JSON, else ``value_hex``."""
    known = {
        "letter_id": str(letter.letter_id),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.log_offset,
        "key": letter.key,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "group": letter.group_id,
        "died_at": letter.died_at.isoformat(),
        "replayed_at": letter.replayed_at.isoformat() if letter.replayed_at else None,
    }
    try:
        return {**known, "value": json.loads(letter.value)}
    except (ValueError, RecursionError):
        return {**known, "value_hex": letter.value.hex()}


def summary(selection: Selection) -> str:
    """Return the number of letters by topic and reason."""
    return "\n".join(
        f"{count:8}  {printable(topic) or '(no topic)'}: {printable(reason)}"
        for (topic, reason), count in sorted(selection.counts.items())
    )


def letters(count: int) -> str:
    """Return ``3 dead letters``."""
    return f"{count:,} dead letter{'s' * (count != 1)}"


def printable(text: str) -> str:
    """Return the text without control characters and other unprintable ones."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


def _value_text(value: bytes) -> str:
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = value.hex()
        return "\n".join(text[begin : begin + 2 * _HEX_LINE] for begin in range(0, len(text), 2 * _HEX_LINE))
