"""Trouble that is logged when it changes; lines that are logged once in a while."""

import pytest
from structlog.testing import capture_logs

from airnode.errors import Conflict, NotFound, Unavailable
from airnode.kernel.logging import LogLimiter
from airnode.kernel.trouble import Reason, Trouble


def test_trouble_is_logged_when_it_begins_changes_and_ends():
    trouble = Trouble("write_failed", "writes_again")
    with capture_logs() as lines:
        trouble.end()
        for reason in ("The disk is full.", "The disk is full.", "The disk is gone."):
            trouble.begin(Unavailable(reason), table="users")
        trouble.end(table="users")
        trouble.end(table="users")
    assert [(each["event"], each.get("error")) for each in lines] == [
        ("write_failed", "The disk is full."),
        ("write_failed", "The disk is gone."),
        ("writes_again", None),
    ]
    assert {each["table"] for each in lines} == {"users"}


def test_a_reason_has_the_code_and_the_fields_of_its_error():
    trouble = Trouble("write_failed", level="error")
    assert trouble.reasons == []
    with capture_logs() as lines:
        trouble.begin(NotFound("There is no table.", fields={"table": "users"}), "users")
        trouble.begin(Conflict("It is locked."), "products")
    assert trouble.reasons == [
        Reason("not_found", "There is no table.", {"table": "users"}),
        Reason("conflict", "It is locked."),
    ]
    assert [line["log_level"] for line in lines] == ["error", "error"]


def test_a_health_check_raises_every_reason_once():
    trouble = Trouble()
    trouble.check()
    for what in ("queue 1", "queue 2"):
        trouble.begin(Unavailable("Kafka does not answer."), what)
    trouble.begin(Unavailable("The database is away."), "refresh")
    with pytest.raises(Unavailable) as raised:
        trouble.check()
    assert raised.value.detail == "Kafka does not answer. The database is away."
    assert "queue 2" in trouble
    trouble.end("queue 1")
    trouble.end("queue 2")
    trouble.forget("refresh")
    assert not trouble
    assert trouble.text == ""
    trouble.check()


def test_lines_of_one_key_are_held_back_and_counted():
    now_s = 0.0
    limiter = LogLimiter(1.0, now_s=lambda: now_s)
    assert limiter.held_back("a") == 0
    assert [limiter.held_back("a") for _ in range(3)] == [None] * 3
    assert limiter.held_back("b") == 0
    now_s = 1.0
    assert limiter.held_back("a") == 3
    now_s = 2.0
    assert limiter.held_back("a") == 0


def test_the_memory_of_a_limiter_is_bounded():
    limiter = LogLimiter(1.0, keys_max=10, now_s=lambda: 0.0)
    assert all(limiter.held_back(str(number)) == 0 for number in range(100))
    assert len(limiter._seen) <= 10
