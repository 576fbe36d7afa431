"""Who may be in a room, and who sees an entry of it."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from airnode.chat.rooms.access import Admission, read_auth
from airnode.chat.rooms.application import ChatApplication
from airnode.chat.rooms.log import LogEntry
from airnode.chat.rooms.metrics import ChatMetrics
from airnode.config.sections.chat import ChatSection
from airnode.errors import Removed
from airnode.kernel.tasks import TaskScope
from airnode.web.tokens import MAX_TOKEN_CHARS, Tokens

TOKENS_KEY = "0123456789abcdef0123456789abcdef"


def test_a_student_who_is_called_teacher_sees_nothing_of_teachers():
    entry = LogEntry("math", "1", 1, "moderation", "1-1", 1, msgspec.Raw(b"{}"), audience="teacher\nmina")
    assert entry.is_for("t1", "teacher")
    assert entry.is_for("mina", "student")
    assert not entry.is_for("teacher", "student")
    assert not entry.is_for("joon", "student")


def test_nobody_sees_who_was_muted_for_being_called_student():
    entry = LogEntry("math", "1", 1, "moderation", "1-1", 1, msgspec.Raw(b"{}"), audience="teacher\nstudent")
    assert not entry.is_for("mina", "student")
    assert entry.is_for("student", "student")


def test_the_longest_token_can_be_shown():
    assert read_auth({"token": "x" * MAX_TOKEN_CHARS}).token
    assert not read_auth({"token": "x" * (MAX_TOKEN_CHARS + 1)}).token


async def test_a_student_who_is_removed_while_coming_back_stays_outside():
    tokens, removed, ended = Tokens(TOKENS_KEY, 600), set[str](), []
    tokens.refuse_removed(lambda room, ids: room == "math" and not removed.isdisjoint(ids))

    async def find(pid: str, user_id: str) -> None:
        removed.add(user_id)  # the teacher does it in this moment

    sessions = SimpleNamespace(find=find, end=ended.append)
    rooms = SimpleNamespace(metrics=ChatMetrics(CollectorRegistry()))
    application = ChatApplication(
        cast(Any, rooms), cast(Any, sessions), Admission(tokens, "token"), ChatSection(), TaskScope("chat")
    )
    socket = SimpleNamespace(sid="s1", state=None)
    token, _ = tokens.issue("mina", "student", "math")
    with pytest.raises(Removed):
        await application.connect(cast(Any, socket), {"token": token, "pid": "p1"})
    assert (application.visitors, application.by_sid, ended) == ([], {}, [socket.state])
