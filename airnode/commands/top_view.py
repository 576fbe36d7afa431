"""The view of ``airnode top``: alarms and tables made from the answers of a master. No I/O."""

import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airnode.cluster.alarms import NEARLY_FULL_PERCENT, duration
from airnode.cluster.api_types import NodeList, NodeView, StreamList, StreamView
from airnode.cluster.placement import NodeHealth
from airnode.web.alarms import Alarm, worst_first

_BAR = 10
#: Lines around the rows: heading, summary, two headers, three empty ones, and the cursor's.
_FRAME = 8
_ALARMS_MAX = 5
#: Codes of the alarms about a master that does not answer. They say what to do next, so they are never cut.
_NOT_REACHED, _REFUSED = "master_not_reached", "master_refused"
_NODE_STYLE: dict[NodeHealth, str] = {
    "healthy": "green",
    "draining": "yellow",
    "overloaded": "magenta",
    "offline": "red",
}
_STREAM_STYLE = {"live": "green", "reconnecting": "yellow", "ended": "dim", "waiting": "dim"}
#: Narrower terminals do not show the bar of the load, and still narrower ones not every column.
_WIDE, _MEDIUM, _NARROW = 80, 76, 66
_UNKNOWN = "not known: the master does not answer"
_UNKNOWN_REFUSED = "not known: the master refuses the secret"
_EMPTY_NODES = NodeList(0, 0, 0, 0, 0, 0.0, [])
_EMPTY_STREAMS = StreamList(0, 0, [])


@dataclass(slots=True)
class Snapshot:
    """The state of the cluster at one time.

    Attributes:
        error: why the master could not be polled; the other fields are then those of the snapshot before.
        is_refused: the error is that the master wants another secret.
        taken_at: unix seconds.
    """

    url: str
    taken_at: float
    nodes: NodeList = field(default_factory=lambda: _EMPTY_NODES)
    streams: StreamList = field(default_factory=lambda: _EMPTY_STREAMS)
    error: str = ""
    is_refused: bool = False

    @property
    def unknown(self) -> str:
        """Return the text in place of a missing answer of the master."""
        return _UNKNOWN_REFUSED if self.is_refused else _UNKNOWN

    def json(self) -> str:
        """Return the snapshot as JSON, for scripts."""
        body = {
            "url": self.url,
            "taken_at": self.taken_at,
            "error": self.error,
            "cluster": self.nodes,
            "streams": self.streams.streams,
            "alarms": alarms(self),
        }
        return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()


def alarms(snapshot: Snapshot) -> list[Alarm]:
    """Return the master's alarms, and one if it does not answer; the worst first."""
    if not snapshot.error:
        return worst_first([*snapshot.nodes.alarms, *snapshot.streams.alarms])
    # Its last alarms are still shown, except those of the cluster as a whole, which is not known now.
    known = [alarm for alarm in snapshot.nodes.alarms if alarm.code not in ("no_healthy_nodes", "nearly_full")]
    code = _REFUSED if snapshot.is_refused else _NOT_REACHED
    failed = Alarm(level="critical", code=code, text=snapshot.error)
    return worst_first([failed, *known, *snapshot.streams.alarms])


# -- rendering --------------------------------------------------------------------------------------------------------


def render(snapshot: Snapshot, *, height: int, width: int) -> RenderableType:
    """Return the whole view, for a terminal of ``height`` lines and ``width`` columns, at least 52."""
    raised = _alarm_lines(alarms(snapshot), width)
    nodes, streams = _rows_per_table(
        height - _FRAME - len(raised), len(snapshot.nodes.nodes), len(snapshot.streams.streams)
    )
    return Group(
        _heading(snapshot),
        _summary(snapshot),
        Text(),
        *_nodes(snapshot, nodes, width),
        Text(),
        *_streams(snapshot, streams, width),
        Text(),
        *raised,
    )


def _rows_per_table(rows: int, nodes: int, streams: int) -> tuple[int, int]:
    """Return the rows of the two tables: all that a table needs, or half of ``rows`` and what the other leaves."""
    rows, nodes, streams = max(rows, 4), max(nodes, 1), max(streams, 1)
    half = rows // 2
    if streams <= half:
        return min(nodes, rows - streams), streams
    return min(nodes, rows - half), min(streams, rows - min(nodes, rows - half))


def _fit(count: int, rows: int) -> tuple[int, list[RenderableType]]:
    """Return how many of ``count`` rows are shown, and the line below them."""
    if count <= rows:
        return count, []
    return rows - 1, [Text(f"... and {count - rows + 1} more", "dim")]


def _heading(snapshot: Snapshot) -> Table:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        Text.assemble(("airnode top  ", "bold"), (snapshot.url, "cyan")),
        _counts(snapshot),
        Text(time.strftime("%H:%M:%S", time.localtime(snapshot.taken_at)), "dim"),
    )
    return line


def _counts(snapshot: Snapshot) -> Text:
    """Return a text such as ``3 healthy, 1 offline``."""
    if snapshot.nodes is _EMPTY_NODES:
        failed = "refused" if snapshot.is_refused else "unreachable"
        return Text(failed if snapshot.error else "no nodes", "red")
    counts = Counter(node.status for node in snapshot.nodes.nodes)
    found = [Text(f"{counts[status]} {status}", style) for status, style in _NODE_STYLE.items() if counts[status]]
    return Text(", ").join(found or [Text("no nodes", "red")])


def _summary(snapshot: Snapshot) -> Text:
    nodes, streams = snapshot.nodes, snapshot.streams.total_streams
    if snapshot.error and nodes is _EMPTY_NODES:
        return Text(snapshot.unknown, "dim")
    return Text.assemble(
        f"{nodes.total_connections:,} of {nodes.total_capacity:,} places  ",
        bar(nodes.utilization),
        f" {nodes.utilization:.0f} %   {bits(sum(node.sent_bps for node in nodes.nodes))}   ",
        f"{streams:,} stream{'' if streams == 1 else 's'}",
        no_wrap=True,
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table.

    Attributes:
        width: in characters; None: the column shares what the others leave, by ``ratio``.
        from_width: the narrowest terminal that shows it.
    """

    name: str
    justify: Literal["left", "right"]
    width: int | None = None
    ratio: int = 1
    from_width: int = 0


def _table(columns: Sequence[_Column], rows: Iterable[Sequence[RenderableType]], width: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bold dim")
    shown = [index for index, column in enumerate(columns) if width >= column.from_width]
    for column in (columns[index] for index in shown):
        ratio = None if column.width else column.ratio
        table.add_column(
            column.name, justify=column.justify, no_wrap=True, overflow="ellipsis", width=column.width, ratio=ratio
        )
    for row in rows:
        table.add_row(*(row[index] for index in shown))
    return table


def _nodes(snapshot: Snapshot, rows: int, width: int) -> list[RenderableType]:
    nodes = snapshot.nodes.nodes
    columns = (
        _Column("NODE", "left"),
        _Column("STATUS", "left", 10),
        _Column("VIEWERS", "right", 11),
        _Column("LOAD", "left", 16 if width >= _WIDE else 6),
        _Column("SENT", "right", 11, from_width=_MEDIUM),
        _Column("ROOMS", "right", 5, from_width=_NARROW),
        _Column("BEAT", "right", 5),
    )
    shown, below = _fit(len(nodes), rows)
    worst_first = sorted(nodes, key=lambda node: (node.status == "healthy", node.node_name))
    listed = nodes if shown == len(nodes) else worst_first[:shown]
    table = _table(columns, (_node_row(node, width) for node in listed), width)
    return (
        [table, *below] if nodes else [table, Text(snapshot.unknown if snapshot.error else "no node has joined", "dim")]
    )


def _node_row(node: NodeView, width: int) -> Sequence[RenderableType]:
    style = "dim" if node.status == "offline" else ""
    load = Text(f" {node.load_percentage:3.0f} %", style)
    return (
        Text(node.node_name, style),
        Text(node.status, _NODE_STYLE[node.status]),
        _viewers(node, style),
        Text.assemble(bar(node.load_percentage), load) if width >= _WIDE else load,
        Text(bits(node.sent_bps), style),
        Text(str(node.streams), style),
        Text(duration(node.last_beat_age_s), style),
    )


def _viewers(node: NodeView, style: str) -> Text:
    """Return the number of viewers, of reserved places and of all places."""
    reserved = f"+{node.reserved}" if node.reserved else ""
    return Text.assemble(
        (str(node.current_connections), style), (reserved, "cyan"), (f"/{node.max_connections}", "dim")
    )


def _streams(snapshot: Snapshot, rows: int, width: int) -> list[RenderableType]:
    streams = snapshot.streams.streams
    columns = (
        _Column("ROOM", "left", ratio=3),
        _Column("STATE", "left", 12),
        _Column("ORIGIN", "left", ratio=2),
        _Column("VIEWERS", "right", 7),
        _Column("EDGES", "right", 5, from_width=_NARROW),
        _Column("BITRATE", "right", 11, from_width=_MEDIUM),
        _Column("SINCE", "right", 6),
    )
    now_s = time.time()
    shown, below = _fit(len(streams), rows)
    most_viewed = sorted(streams, key=lambda each: -each.viewers)[:shown]
    table = _table(columns, (_stream_row(stream, now_s) for stream in most_viewed), width)
    return (
        [table, *below] if streams else [table, Text(snapshot.unknown if snapshot.error else "nobody is live", "dim")]
    )


def _stream_row(stream: StreamView, now_s: float) -> Sequence[RenderableType]:
    edges = [node_id for node_id in stream.edges if node_id != stream.origin]
    return (
        stream.title or stream.room,
        Text(stream.state, _STREAM_STYLE[stream.state]),
        stream.origin_name or stream.origin,
        f"{stream.viewers:,}",
        str(len(edges)),
        bits(stream.bitrate_bps),
        duration(max(now_s - stream.since, 0)),
    )


def _alarm_lines(raised: Sequence[Alarm], width: int) -> list[RenderableType]:
    if not raised:
        return [Text("no alarms", "green")]
    shown, below = _fit(len(raised), _ALARMS_MAX)
    styles = {"critical": ("!!", "bold red"), "warning": (" !", "yellow")}
    lines: list[tuple[str, str, str]] = []
    for alarm in raised[:shown]:
        mark, style = styles[alarm.level]
        is_whole = alarm.code in (_NOT_REACHED, _REFUSED)
        first, *rest = textwrap.wrap(alarm.text, max(width - 4, 20)) if is_whole else [alarm.text]
        lines += [(mark, style, first), *(("  ", style, text) for text in rest)]
    return [*(Text(f"{mark} {text}", style, no_wrap=True, overflow="ellipsis") for mark, style, text in lines), *below]


def bar(percentage: float) -> Text:
    """Return a bar of ten cells, filled in eighths."""
    eighths = round(max(0.0, min(percentage, 100.0)) / 100 * _BAR * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    style = "green" if percentage < 70 else "yellow" if percentage < NEARLY_FULL_PERCENT else "red"
    return Text.assemble((filled, style), ("·" * (_BAR - len(filled)), "dim"))


def bits(per_second: float) -> str:
    """Return a text such as ``2.6 Mbit/s``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_second >= size:
            return f"{per_second / size:.1f} {unit}bit/s"
    return f"{per_second:.0f} bit/s"
