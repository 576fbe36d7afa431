"""The alarms of the cluster, from the answers of its API. No I/O."""

from collections.abc import Iterator, Sequence

from airnode.cluster.api_types import NodeView, StreamView
from airnode.web.alarms import Alarm, worst_first

NEARLY_FULL_PERCENT = 90.0
#: A healthy node with an older heartbeat than this has a wrong clock or a slow network.
_OVERDUE_S = 10.0


def node_alarms(nodes: Sequence[NodeView], *, healthy_nodes: int, utilization: float) -> list[Alarm]:
    """Return the alarms of the cluster as a whole and of its nodes, the worst first.

    Args:
        utilization: percentage of all places that are taken.
    """
    found = [*_capacity(healthy_nodes, utilization)]
    for node in nodes:
        found += _node(node)
    found += _versions(nodes)
    return worst_first(found)


def stream_alarms(streams: Sequence[StreamView]) -> list[Alarm]:
    """Return the alarms of rooms, the worst first."""
    return worst_first(alarm for stream in streams for alarm in _stream(stream))


def _capacity(healthy_nodes: int, utilization: float) -> Iterator[Alarm]:
    if not healthy_nodes:
        yield Alarm(level="critical", code="no_healthy_nodes", text="no healthy node: nobody gets a place")
    elif utilization >= NEARLY_FULL_PERCENT:
        yield Alarm(
            level="warning",
            code="nearly_full",
            text=f"{utilization:g} % of all places are taken; start another slave",
            fields={"percent": round(utilization)},
        )


def _node(node: NodeView) -> Iterator[Alarm]:
    name, node_id, age_s = node.node_name, node.node_id, node.last_beat_age_s
    aged: dict[str, str | int | float] = {"name": name, "seconds": round(age_s)}
    if node.status == "offline":
        text = f"{name} is offline, last heard of {duration(age_s)} ago"
        yield Alarm(level="critical", code="node_offline", text=text, fields=aged, node_id=node_id)
        return
    if node.status == "overloaded":
        yield Alarm(level="warning", code="node_full", text=f"{name} is full", fields={"name": name}, node_id=node_id)
    elif age_s > _OVERDUE_S:
        text = f"{name}'s beats look {duration(age_s)} old: check its clock"
        yield Alarm(level="warning", code="node_overdue", text=text, fields=aged, node_id=node_id)
    if node.cut_from:
        origins = ", ".join(node.cut_from)
        yield Alarm(
            level="warning",
            code="node_cut_off",
            text=f"{name} cannot reach the origin {origins}; viewers move on",
            fields={"name": name, "origin": origins},
            node_id=node_id,
        )
    yield from _reported(node)


def _reported(node: NodeView) -> Iterator[Alarm]:
    """Yield the alarms that the node itself reports. Nodes of earlier versions report sentences without codes."""
    codes = {notice.text: notice for notice in node.notices}
    for text in dict.fromkeys([*codes, *node.alarms]):
        notice = codes.get(text)
        yield Alarm(
            level=notice.level if notice is not None else "critical",
            code=notice.code if notice is not None else "node_report",
            text=f"{node.node_name}: {text}",
            fields={**(notice.fields if notice is not None else {"text": text}), "name": node.node_name},
            node_id=node.node_id,
        )


def _stream(stream: StreamView) -> Iterator[Alarm]:
    room, origin, dropped = stream.room, stream.origin, stream.dropped_samples
    name = stream.title or room
    if stream.state == "reconnecting":
        text = f"{name} lost its publisher and waits for it"
        yield Alarm(level="warning", code="room_reconnecting", text=text, fields={"room": name}, room=room)
    if stream.state in ("live", "reconnecting") and not stream.origin_name:
        text, fields = f"{name}'s origin {origin} is gone", {"room": name, "origin": origin}
        yield Alarm(level="critical", code="room_origin_gone", text=text, fields={**fields}, room=room)
    for notice in stream.notices:
        yield Alarm(
            level=notice.level,
            code=notice.code,
            text=f"{name} cannot be played: {notice.text}",
            fields={**notice.fields, "room": name},
            room=room,
        )
    if dropped:
        text = f"{name}: {dropped} samples of the publisher were dropped"
        yield Alarm(
            level="warning", code="room_samples_dropped", text=text, fields={"room": name, "count": dropped}, room=room
        )


def _versions(nodes: Sequence[NodeView]) -> Iterator[Alarm]:
    versions = sorted({node.version for node in nodes if node.status != "offline"})
    if len(versions) > 1:
        listed = ", ".join(versions)
        text = f"nodes run different versions: {listed}"
        yield Alarm(level="warning", code="versions_differ", text=text, fields={"versions": listed})


def duration(seconds: float) -> str:
    """Return ``4s``, ``12m``, ``3h`` or ``2d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
