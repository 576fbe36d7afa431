"""How often people may do what costs much."""

from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from airnode.chat.rooms.limits import EventLimits
from airnode.chat.rooms.metrics import ChatMetrics
from airnode.chat.rooms.people import User, Visitor
from airnode.config.sections.chat import ChatSection
from airnode.errors import RateLimited


def _visitor(user_id: str) -> Visitor:
    user = User(user_id, user_id, "student")
    return Visitor(cast(Any, None), user, session_id="s", only_room="math", expires_at=0, pid="p")


def test_more_connections_of_one_person_give_no_more_of_what_costs_much():
    limits = EventLimits(ChatSection(event_rate_per_s=1.0, event_burst=3), ChatMetrics(CollectorRegistry()))
    for _ in range(3):
        limits.take_costly(_visitor("mina"), "history", 0.0)
    with pytest.raises(RateLimited):
        limits.take_costly(_visitor("mina"), "history", 0.0)
    limits.take_costly(_visitor("mina"), "joinRoom", 0.0)
    limits.take_costly(_visitor("joon"), "history", 0.0)
    limits.take_costly(_visitor("mina"), "history", 1.0)
