"""What in Redis is about a person, and what only mentions one."""

import pytest

from airnode.classrecord.forgetting import _is_about


@pytest.mark.parametrize(
    "value",
    [
        b"kim",
        b'{"user":{"id":"kim","name":"K"},"content":"hi"}',
        b'{"raised":{"user":{"id":"kim"},"at":1},"count":1}',
        b'{"lowered":"kim","count":0}',
        b'{"question":{"id":"q","user":{"id":"kim"}}}',
        b'"user":{"id":"kim"},"content":"why?","at":5',
        b'{"user":{"id":"\\u006bim"}}',
    ],
)
def test_about_the_person(value: bytes):
    assert _is_about(value, "kim")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"kimchi",
        b"1",
        b'{"user":{"id":"lee","name":"kim"},"content":"kim"}',
        b'{"poll":{"id":"p","question":"kim","options":[{"text":"kim"}]}}',
        b'{"user":{"id":"kim"}',
        b'"' + b"[" * 5000,
        b'{"a":' * 5000,
        b"\xff\xfe",
    ],
)
def test_about_somebody_else(value: bytes):
    assert not _is_about(value, "kim")
