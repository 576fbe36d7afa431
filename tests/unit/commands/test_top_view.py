import io
import json
import time

import pytest
from msgspec.structs import replace
from rich.console import Console

from airnode.cluster.alarms import duration, node_alarms, stream_alarms
from airnode.cluster.api_types import NodeList, NodeView, StreamList, StreamView
from airnode.commands.top_view import Snapshot, alarms, bar, bits, render


def node(name: str, taken: int = 10, *, status: str = "healthy", age_s: float = 0.5, version: str = "1.0") -> NodeView:
    return NodeView(
        f"node-{name}",
        name,
        taken,
        150,
        round(100 * taken / 150, 1),
        status,
        0,
        25_000_000,
        None,
        1,
        version,
        "10.0.0.1",
        8888,
        1935,
        0.0,
        age_s,
    )


def stream(room: str, viewers: int = 5, *, state: str = "live", origin_name: str = "a", dropped: int = 0) -> StreamView:
    return StreamView(
        room, state, "node-a", origin_name, 1, time.time() - 90, viewers, {"node-a": 3, "node-b": 2}, 2_600_000, dropped
    )


def shot(nodes: list[NodeView], streams: list[StreamView] = (), *, error: str = "") -> Snapshot:
    there = [each for each in nodes if each.status != "offline"]
    taken = sum(each.current_connections for each in there)
    healthy = sum(each.status == "healthy" for each in nodes)
    utilization = round(100 * taken / (150 * len(there) or 1), 1)
    listed = NodeList(
        len(nodes),
        healthy,
        len(nodes) - len(there),
        taken,
        150 * len(there),
        utilization,
        nodes,
        node_alarms(nodes, healthy_nodes=healthy, utilization=utilization),
    )
    found = StreamList(len(streams), sum(each.viewers for each in streams), list(streams), stream_alarms(streams))
    return Snapshot("http://localhost:8000", time.time(), listed, found, error)


def drawn(view: Snapshot, *, width: int = 80, height: int = 24) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, height=height, force_terminal=True, color_system=None).print(
        render(view, height=height, width=width)
    )
    return file.getvalue().splitlines()


def test_a_healthy_cluster_raises_no_alarm():
    view = shot([node("a"), node("b")], [stream("math")])
    assert list(alarms(view)) == []
    text = "\n".join(drawn(view))
    for part in ("2 healthy", "20 of 300 places", "50.0 Mbit/s", "math", "2.6 Mbit/s", "no alarms", "2m"):
        assert part in text


@pytest.mark.parametrize(
    ("view", "level", "says"),
    [
        (shot([]), "critical", "no healthy node"),
        (shot([node("a", status="draining")]), "critical", "no healthy node"),
        (shot([node("a"), node("b", status="offline", age_s=75)]), "critical", "b is offline, last heard of 1m ago"),
        (shot([node("a"), node("b", 150, status="overloaded")]), "warning", "b is full"),
        (shot([node("a", 140)]), "warning", "93.3 % of all places"),
        (shot([node("a", age_s=30)]), "warning", "check its clock"),
        (shot([node("a"), replace(node("b"), cut_from=["node-a"])]), "warning", "b cannot reach the origin node-a"),
        (shot([node("a"), node("b", version="1.1")]), "warning", "different versions: 1.0, 1.1"),
        (shot([node("a")], [stream("math", state="reconnecting")]), "warning", "math lost its publisher"),
        (shot([node("a")], [stream("math", origin_name="")]), "critical", "origin node-a is gone"),
        (shot([node("a")], [stream("math", dropped=7)]), "warning", "7 samples"),
        (shot([node("a")], error="http://x: refused"), "critical", "refused"),
    ],
)
def test_what_raises_an_alarm(view: Snapshot, level: str, says: str):
    found = list(alarms(view))
    assert [alarm.level for alarm in found if says in alarm.text] == [level], found
    assert says in "\n".join(drawn(view))


def test_the_worst_comes_first():
    view = shot([node("a", 150, status="overloaded"), node("b", status="offline"), node("c")])
    assert [alarm.level for alarm in alarms(view)] == ["critical", "warning"]


@pytest.mark.parametrize(("nodes", "streams"), [(0, 0), (1, 1), (8, 3), (300, 2), (2, 300), (300, 300)])
@pytest.mark.parametrize("height", [24, 50])
def test_it_fits_the_terminal(nodes: int, streams: int, height: int):
    listed = [
        node(f"a-rather-long-node-name-{index}", status="offline" if index % 7 == 3 else "healthy")
        for index in range(nodes)
    ]
    rooms = [stream(f"a-class-with-a-name-that-goes-on-and-on-{index}") for index in range(streams)]
    lines = drawn(shot(listed, rooms), height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for part in ("NODE", "ROOM", "places"):
        assert part in text
    if nodes > height:
        assert "more" in text
        assert "offline" in text  # what is wrong is shown before what is well


@pytest.mark.parametrize("width", [60, 66, 70, 76, 79, 80, 100])
def test_names_stay_readable_in_a_narrow_terminal(width: int):
    lines = drawn(shot([node("north-1")], [stream("algebra-2", origin_name="north-1")]), width=width)
    assert max(map(len, lines)) <= width
    (first,) = [line for line in lines if line.startswith("north-1")]
    assert "healthy" in first
    assert "7 %" in first
    (second,) = [line for line in lines if line.startswith("algebra-2")]
    assert "…" not in second.replace("north-1", "")
    assert "live" in second


def test_a_master_that_never_answered_is_not_an_empty_cluster():
    view = Snapshot("http://x", time.time(), error="http://x: refused")
    text = "\n".join(drawn(view))
    for claim in ("nobody is live", "no node has joined", "no nodes", "0 of 0 places"):
        assert claim not in text
    assert "unreachable" in text
    assert "not known: the master does not answer" in text


def test_json_for_scripts():
    view = shot([node("a"), node("b", status="offline")], [stream("math")])
    body = json.loads(view.json())
    assert set(body) == {"url", "taken_at", "error", "cluster", "streams", "alarms"}
    assert body["cluster"]["offline_nodes"] == 1
    assert body["streams"][0]["room"] == "math"
    assert body["alarms"][0]["level"] == "critical"


def test_numbers_for_people():
    assert [bits(number) for number in (0, 999, 2_600_000, 1.5e9)] == [
        "0 bit/s",
        "999 bit/s",
        "2.6 Mbit/s",
        "1.5 Gbit/s",
    ]
    assert [duration(number) for number in (0.4, 59, 90, 7200, 200_000)] == ["0s", "59s", "2m", "2h", "2d"]
    assert [bar(number).plain for number in (0, 50, 100, 140)] == ["·" * 10, "█" * 5 + "·" * 5, "█" * 10, "█" * 10]
