"""The record of a session as files: CSV for spreadsheets, JSON for programs. No I/O.

CSV files begin with a byte order mark, without which Excel takes Korean text for something else. A cell that a
spreadsheet would take for a formula begins with an apostrophe, so that a student's message never runs anything
(https://owasp.org/www-community/attacks/CSV_Injection).
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Literal, get_args

import msgspec

from airnode.classrecord.record_types import Part, SessionRecord

Language = Literal["en", "ko"]
PARTS: tuple[Part, ...] = get_args(Part)
LANGUAGES: tuple[Language, ...] = get_args(Language)

BOM = "\ufeff"
#: The full-width forms count too: Excel takes them for the narrow ones where East Asian languages are installed.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
Cell = str | int | float | bool | datetime | None
Rows = Iterable[Sequence[Cell]]

_HEADINGS: dict[Part, dict[Language, tuple[str, ...]]] = {
    "attendance": {
        "en": ("student id", "name", "joined", "left", "minutes", "minutes watched", "percent"),
        "ko": ("학생 ID", "이름", "입장", "퇴장", "참여 시간(분)", "시청 시간(분)", "참여율(%)"),
    },
    "chat": {
        "en": ("time", "user id", "name", "role", "message", "deleted"),
        "ko": ("시각", "사용자 ID", "이름", "역할", "메시지", "삭제됨"),
    },
    "questions": {
        "en": ("time", "student id", "name", "question", "supporters", "answered", "deleted"),
        "ko": ("시각", "학생 ID", "이름", "질문", "공감", "답변함", "삭제됨"),
    },
    "polls": {
        "en": ("opened", "closed", "question", "option", "votes", "student id", "name", "answered at"),
        "ko": ("시작", "종료", "질문", "선택지", "득표", "학생 ID", "이름", "답한 시각"),
    },
    "hands": {
        "en": ("time", "student id", "name", "raised"),
        "ko": ("시각", "학생 ID", "이름", "손들기"),
    },
}


def csv_file(record: SessionRecord, part: Part, *, language: Language = "en", zone: tzinfo = UTC) -> bytes:
    """Return one part of a record as CSV, in UTF-8 with a byte order mark and CRLF (RFC 4180).

    Args:
        zone: times are written in it, as ``2026-11-30 21:05:00``.
    """
    out = io.StringIO()
    out.write(BOM)
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_HEADINGS[part][language])
    for row in _ROWS[part](record):
        writer.writerow([_text(cell, zone) for cell in row])
    return out.getvalue().encode()


def json_file(record: SessionRecord) -> bytes:
    """Return a record as JSON that people can read too."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2)


def file_name(record: SessionRecord, part: str, suffix: str, zone: tzinfo = UTC) -> str:
    """Return a name such as ``math-2026-11-30-2105-attendance.csv``, in ASCII."""
    day = datetime.fromtimestamp(record.session.started_at, zone).strftime("%Y-%m-%d-%H%M")
    return f"{record.session.room}-{day}-{part}.{suffix}"


def _attendance(record: SessionRecord) -> Rows:
    for row in record.attendance:
        minutes = (row.minutes, row.watched_minutes, row.percent)
        yield row.student_id, row.name, _time(row.joined_at), _time(row.left_at), *minutes


def _chat(record: SessionRecord) -> Rows:
    for line in record.chat:
        yield _time(line.at), line.user_id, line.name, line.role, line.content, line.deleted


def _questions(record: SessionRecord) -> Rows:
    for row in record.questions:
        yield _time(row.at), row.user_id, row.name, row.content, row.supporters, row.answered, row.deleted


def _polls(record: SessionRecord) -> Rows:
    """Yield a line for each option, and one for each answer below it."""
    for poll in record.polls:
        about = (_time(poll.at), _time(poll.closed_at), poll.question)
        for number, option in enumerate(poll.options):
            yield *about, option.text, option.votes, "", "", None
            for vote in poll.answers:
                if vote.option == number:
                    yield *about, option.text, None, vote.user_id, vote.name, _time(vote.at)


def _hands(record: SessionRecord) -> Rows:
    for hand in record.hands:
        yield _time(hand.at), hand.user_id, hand.name, hand.raised


_ROWS: dict[Part, Callable[[SessionRecord], Rows]] = {
    "attendance": _attendance,
    "chat": _chat,
    "questions": _questions,
    "polls": _polls,
    "hands": _hands,
}


def _time(unix_s: float | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)


def _text(cell: Cell, zone: tzinfo) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, datetime):
        return cell.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(cell, str):
        return harmless(cell)
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def harmless(text: str) -> str:
    """Return the text, with an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
