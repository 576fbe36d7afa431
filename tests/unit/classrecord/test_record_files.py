"""CSV files of a record: Korean that Excel opens, and cells that run nothing."""

import csv
import io
import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.classrecord.attendance_table import AttendanceRow
from airnode.classrecord.record_files import PARTS, Language, Part, csv_file, file_name, json_file
from airnode.classrecord.record_types import (
    ChatLine,
    HandRow,
    PollChoice,
    PollRow,
    PollVote,
    QuestionRow,
    RecordCounts,
    SessionRecord,
    SessionSummary,
)

AT = 1_764_500_400.0  # 2025-11-30 11:00:00 UTC
SESSION = SessionSummary("s", "math", AT, AT + 3000, 1, 1)


def record(text: str = "안녕", name: str = "앤") -> SessionRecord:
    return SessionRecord(
        SESSION,
        "수학",
        [AttendanceRow("20231", name, AT, None, 12.5, 10.0, 25.0)],
        [ChatLine("m", AT, "20231", name, "student", "text", text, False)],
        [QuestionRow("q", AT, "20231", name, text, 3, True, False)],
        [PollRow("p", AT, AT + 60, text, [PollChoice(text, 1)], [PollVote("20231", name, 0, AT + 5)])],
        [HandRow(AT, "20231", name, True)],
        RecordCounts(1, 1, 1, 1, 1),
    )


def read(body: bytes) -> list[list[str]]:
    assert body.startswith(b"\xef\xbb\xbf")
    assert body.endswith(b"\r\n")
    return list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))


def test_an_attendance_table_for_a_korean_teacher():
    table = read(csv_file(record(), "attendance", language="ko", zone=ZoneInfo("Asia/Seoul")))
    assert table == [
        ["학생 ID", "이름", "입장", "퇴장", "참여 시간(분)", "시청 시간(분)", "참여율(%)"],
        ["20231", "앤", "2025-11-30 20:00:00", "", "12.5", "10", "25"],
    ]


def test_a_poll_has_a_line_for_each_option_and_for_each_answer():
    option, answer = read(csv_file(record("4"), "polls"))[1:]
    assert option == ["2025-11-30 11:00:00", "2025-11-30 11:01:00", "4", "4", "1", "", "", ""]
    assert answer[3:] == ["4", "", "20231", "앤", "2025-11-30 11:00:05"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_each_line_has_as_many_cells_as_the_heading(part: Part, language: Language):
    lengths = {len(line) for line in read(csv_file(record(), part, language=language))}
    assert len(lengths) == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "=cmd|'/c calc'!A1"]
)
@pytest.mark.parametrize("part", ["chat", "questions", "polls", "attendance", "hands"])
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(part: Part, text: str):
    cells = [cell for line in read(csv_file(record(text, text), part))[1:] for cell in line]
    assert f"'{text}" in cells
    assert text not in cells


@given(st.text(), st.text())
def test_any_text_is_one_cell_and_none_is_a_formula(text: str, name: str):
    if any(0xD800 <= ord(each) <= 0xDFFF for each in text + name):
        return
    (line,) = read(csv_file(record(text, name), "chat"))[1:]
    assert line[4].removeprefix("'") == text.removeprefix("'")
    assert not line[2].startswith(("=", "+", "-", "@"))


def test_the_json_file_is_the_record():
    assert json.loads(json_file(record()))["chat"][0]["content"] == "안녕"


def test_file_names():
    assert file_name(record(), "chat", "csv", ZoneInfo("Asia/Seoul")) == "math-2025-11-30-2000-chat.csv"
