"""Alarms: what an operator should check. Masters raise them; the admin page and ``airnode top`` only show them."""

from collections.abc import Iterable

import msgspec

from airnode.bus.messages import NoticeLevel


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an operator should check.

    Attributes:
        code: its kind, for pages with own sentences. fields: the values in these sentences.
        text: the same as an English sentence.
        node_id, room: the node or the room that it is about; empty: the whole cluster, or the pipeline.
    """

    level: NoticeLevel
    code: str
    text: str
    fields: dict[str, str | int | float] = {}
    node_id: str = ""
    room: str = ""


def worst_first(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Return the critical ones first, otherwise in the same order."""
    return sorted(alarms, key=lambda alarm: alarm.level != "critical")
