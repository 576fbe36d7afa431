"""The log of a process: in a process of its own, for logging is global."""

import json
import logging
import subprocess
import sys

import pytest

from airnode.kernel.logging import RepeatFilter

CODE = """
import logging, sys, structlog
from airnode.kernel.logging import configure
configure(sys.argv[1], sys.argv[2], {"role": "standalone"})
log = structlog.get_logger("airnode.tests")
log.debug("chatter_heard", n=1)
log.info("thing_happened", path=__import__("pathlib").Path("/x"), name="민아")
logging.getLogger("a.library").warning("of a library: %s", 5)
logging.getLogger("asyncpg").info("too chatty")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("thing_failed")
"""


def logged(level: str, form: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", CODE, level, form], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_json_has_one_object_a_line_with_the_role():
    out, err = logged("info", "json")
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["event"] for line in lines] == ["thing_happened", "of a library: 5", "thing_failed"]
    for line in lines:
        assert line["role"] == "standalone"
        assert line["timestamp"].endswith("Z")
    assert lines[0]["path"] == "/x"
    assert lines[0]["name"] == "민아"
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_automatic_is_json_away_from_a_terminal():
    assert json.loads(logged("info", "auto")[1].splitlines()[0])["event"] == "thing_happened"


def test_the_console_is_for_people():
    _, err = logged("info", "console")
    assert "thing_happened" in err
    assert "of a library: 5" in err
    assert "ZeroDivisionError" in err
    assert "standalone" not in err
    with pytest.raises(json.JSONDecodeError):
        json.loads(err.splitlines()[0])


@pytest.mark.parametrize(("level", "events"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: str, events: int):
    lines = [json.loads(line) for line in logged(level, "json")[1].splitlines()]
    assert len([line for line in lines if line["event"] != "too chatty"]) == len(lines) == events


def test_equal_lines_of_a_noisy_library_are_logged_once_in_a_while():
    now_s = 0.0
    repeats = RepeatFilter("chatter", 30, lambda: now_s)

    def logged_as(text: str, *args: object, name: str = "chatter.deep") -> str:
        record = logging.LogRecord(name, logging.ERROR, "", 1, text, args, None)
        return record.getMessage() if repeats.filter(record) else ""

    assert logged_as("away: %s", "a") == "away: a"
    assert [logged_as("away: %s", "a") for _ in range(99)] == [""] * 99
    assert logged_as("away: %s", "b") == "away: b"
    assert logged_as("away: %s", "a", name="another") == "away: a"
    assert logged_as("away: %s", "a", name="chattering") == "away: a"
    now_s = 31.0
    assert logged_as("away: %s", "a") == "away: a (99 more like it meanwhile)"
    assert logged_as("away: %s", "a") == ""
    now_s = 62.0
    assert logged_as("away: %s", "a") == "away: a (1 more like it meanwhile)"
    assert all(logged_as("%d", number) for number in range(2000))
