"""What ``airnode top`` shows: alarms and tables made from the answers of a master. No I/O."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airnode.cluster.api_types import NodeList, NodeView, StreamList, StreamView
from airnode.cluster.placement import NodeHealth

_BAR = 10
#: Lines around the rows: heading, summary, two headers, three empty ones, and the cursor's.
_FRAME = 8
_ALARMS_MAX = 5
_NEARLY_FULL = 90.0
#: A healthy node whose beat looks older than this has a clock that differs, or a slow way.
_OVERDUE_S = 10.0
_NODE_STYLE: dict[NodeHealth, str] = {
    "healthy": "green",
    "draining": "yellow",
    "overloaded": "magenta",
    "offline": "red",
}
_STREAM_STYLE = {"live": "green", "reconnecting": "yellow", "ended": "dim", "waiting": "dim"}
_EMPTY_NODES = NodeList(0, 0, 0, 0, 0, 0.0, [])
_EMPTY_STREAMS = StreamList(0, 0, [])


class Alarm(msgspec.Struct, frozen=True):
    """Something that somebody should look at."""

    level: Literal["warning", "critical"]
    text: str


@dataclass(slots=True)
class Snapshot:
    """One look at the cluster; ``error`` says why there is none, the rest is then of the look before.

    Attributes:
        taken_at: unix seconds.
    """

    url: str
    taken_at: float
    nodes: NodeList = field(default_factory=lambda: _EMPTY_NODES)
    streams: StreamList = field(default_factory=lambda: _EMPTY_STREAMS)
    error: str = ""

    def json(self) -> str:
        """For scripts."""
        body = {
            "url": self.url,
            "taken_at": self.taken_at,
            "error": self.error,
            "cluster": self.nodes,
            "streams": self.streams.streams,
            "alarms": list(alarms(self)),
        }
        return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def alarms(shot: Snapshot) -> Iterator[Alarm]:
    """What is wrong, the worst first."""
    found = [*_cluster_alarms(shot)]
    for node in shot.nodes.nodes:
        found += _node_alarms(node)
    for stream in shot.streams.streams:
        found += _stream_alarms(stream)
    versions = sorted({node.version for node in shot.nodes.nodes if node.status != "offline"})
    if len(versions) > 1:
        found.append(Alarm("warning", f"nodes run different versions: {', '.join(versions)}"))
    yield from sorted(found, key=lambda alarm: alarm.level != "critical")


def _cluster_alarms(shot: Snapshot) -> Iterator[Alarm]:
    if shot.error:
        yield Alarm("critical", shot.error)
    elif not shot.nodes.healthy_nodes:
        yield Alarm("critical", "no healthy node: nobody gets a place")
    elif shot.nodes.utilization >= _NEARLY_FULL:
        yield Alarm("warning", f"{shot.nodes.utilization:g} % of all places are taken; start another slave")


def _node_alarms(node: NodeView) -> Iterator[Alarm]:
    if node.status == "offline":
        yield Alarm("critical", f"{node.node_name} is offline, last heard of {duration(node.last_beat_age_s)} ago")
    elif node.status == "overloaded":
        yield Alarm("warning", f"{node.node_name} is full")
    elif node.last_beat_age_s > _OVERDUE_S:
        yield Alarm("warning", f"{node.node_name}'s beats look {duration(node.last_beat_age_s)} old: check its clock")
    if node.cut_from and node.status != "offline":
        yield Alarm("warning", f"{node.node_name} cannot reach the origin {', '.join(node.cut_from)}; viewers move on")

    for text in node.alarms:
        yield Alarm("critical", f"{node.node_name}: {text}")


def _stream_alarms(stream: StreamView) -> Iterator[Alarm]:
    if stream.state == "reconnecting":
        yield Alarm("warning", f"{stream.room} lost its publisher and waits for it")
    if stream.state in ("live", "reconnecting") and not stream.origin_name:
        yield Alarm("critical", f"{stream.room}'s origin {stream.origin} is gone")
    if stream.dropped_samples:
        yield Alarm("warning", f"{stream.room}: {stream.dropped_samples} samples of the publisher were dropped")


# -- drawing ----------------------------------------------------------------------------------------------------------


def render(shot: Snapshot, *, height: int) -> RenderableType:
    """The whole view, for a terminal of so many lines and 80 columns or more."""
    raised = _alarm_lines(list(alarms(shot)))
    nodes, streams = _shared(height - _FRAME - len(raised), len(shot.nodes.nodes), len(shot.streams.streams))
    return Group(
        _heading(shot),
        _summary(shot),
        Text(),
        *_nodes(shot.nodes.nodes, nodes),
        Text(),
        *_streams(shot.streams.streams, streams),
        Text(),
        *raised,
    )


def _shared(rows: int, nodes: int, streams: int) -> tuple[int, int]:
    """Rows for each of two tables: all that they want, or half of what there is and what the other leaves."""
    rows, nodes, streams = max(rows, 4), max(nodes, 1), max(streams, 1)
    half = rows // 2
    if streams <= half:
        return min(nodes, rows - streams), streams
    return min(nodes, rows - half), min(streams, rows - min(nodes, rows - half))


def _cut(count: int, rows: int) -> tuple[int, list[RenderableType]]:
    """How many of ``count`` rows are shown, and what stands below them."""
    if count <= rows:
        return count, []
    return rows - 1, [Text(f"... and {count - rows + 1} more", "dim")]


def _heading(shot: Snapshot) -> Table:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        Text.assemble(("airnode top  ", "bold"), (shot.url, "cyan")),
        _counts(shot.nodes),
        Text(time.strftime("%H:%M:%S", time.localtime(shot.taken_at)), "dim"),
    )
    return line


def _counts(nodes: NodeList) -> Text:
    """``3 healthy, 1 offline``."""
    counts = Counter(node.status for node in nodes.nodes)
    found = [Text(f"{counts[status]} {status}", style) for status, style in _NODE_STYLE.items() if counts[status]]
    return Text(", ").join(found or [Text("no nodes", "red")])


def _summary(shot: Snapshot) -> Text:
    nodes, streams = shot.nodes, shot.streams.total_streams
    return Text.assemble(
        f"{nodes.total_connections:,} of {nodes.total_capacity:,} places  ",
        bar(nodes.utilization),
        f" {nodes.utilization:.0f} %   {bits(sum(node.sent_bps for node in nodes.nodes))}   ",
        f"{streams:,} stream{'' if streams == 1 else 's'}",
        no_wrap=True,
    )


def _table(*columns: tuple[str, Literal["left", "right"], int | None]) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bold dim")
    for name, justify, width in columns:
        table.add_column(
            name, justify=justify, no_wrap=True, overflow="ellipsis", width=width, ratio=None if width else 1
        )
    return table


def _nodes(nodes: Sequence[NodeView], rows: int) -> list[RenderableType]:
    table = _table(
        ("NODE", "left", None),
        ("STATUS", "left", 10),
        ("VIEWERS", "right", 11),
        ("LOAD", "left", 16),
        ("SENT", "right", 11),
        ("ROOMS", "right", 5),
        ("BEAT", "right", 5),
    )
    shown, below = _cut(len(nodes), rows)
    worst_first = sorted(nodes, key=lambda node: (node.status == "healthy", node.node_name))
    for node in nodes if shown == len(nodes) else worst_first[:shown]:
        style = "dim" if node.status == "offline" else ""
        table.add_row(
            Text(node.node_name, style),
            Text(node.status, _NODE_STYLE[node.status]),
            _viewers(node, style),
            Text.assemble(bar(node.load_percentage), (f" {node.load_percentage:3.0f} %", style)),
            Text(bits(node.sent_bps), style),
            Text(str(node.streams), style),
            Text(duration(node.last_beat_age_s), style),
        )
    return [table, *below] if nodes else [table, Text("no node has joined", "dim")]


def _viewers(node: NodeView, style: str) -> Text:
    """Those who are there, those who are about to come, and how many may."""
    coming = f"+{node.reserved}" if node.reserved else ""
    return Text.assemble((str(node.current_connections), style), (coming, "cyan"), (f"/{node.max_connections}", "dim"))


def _streams(streams: Sequence[StreamView], rows: int) -> list[RenderableType]:
    table = _table(
        ("ROOM", "left", None),
        ("STATE", "left", 12),
        ("ORIGIN", "left", 16),
        ("VIEWERS", "right", 7),
        ("EDGES", "right", 5),
        ("BITRATE", "right", 11),
        ("SINCE", "right", 6),
    )
    now = time.time()
    shown, below = _cut(len(streams), rows)
    for stream in sorted(streams, key=lambda each: -each.viewers)[:shown]:
        edges = [node_id for node_id in stream.edges if node_id != stream.origin]
        table.add_row(
            stream.room,
            Text(stream.state, _STREAM_STYLE[stream.state]),
            stream.origin_name or stream.origin,
            f"{stream.viewers:,}",
            str(len(edges)),
            bits(stream.bitrate_bps),
            duration(max(now - stream.since, 0)),
        )
    return [table, *below] if streams else [table, Text("nobody is live", "dim")]


def _alarm_lines(raised: Sequence[Alarm]) -> list[RenderableType]:
    if not raised:
        return [Text("no alarms", "green")]
    shown, below = _cut(len(raised), _ALARMS_MAX)
    styles = {"critical": ("!!", "bold red"), "warning": (" !", "yellow")}
    lines = [(*styles[alarm.level], alarm.text) for alarm in raised[:shown]]
    return [*(Text(f"{mark} {text}", style, no_wrap=True, overflow="ellipsis") for mark, style, text in lines), *below]


def bar(percentage: float) -> Text:
    """Ten cells, filled in eighths."""
    eighths = round(max(0.0, min(percentage, 100.0)) / 100 * _BAR * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    style = "green" if percentage < 70 else "yellow" if percentage < _NEARLY_FULL else "red"
    return Text.assemble((filled, style), ("·" * (_BAR - len(filled)), "dim"))


def bits(per_second: float) -> str:
    """``2.6 Mbit/s``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_second >= size:
            return f"{per_second / size:.1f} {unit}bit/s"
    return f"{per_second:.0f} bit/s"


def duration(seconds: float) -> str:
    """``4s``, ``12m``, ``3h``, ``2d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
