"""The alarms that masters raise, with the codes and values from which pages make sentences."""

import pytest
from msgspec.structs import replace

from airnode.bus.messages import Notice
from airnode.cluster.alarms import node_alarms, stream_alarms
from airnode.cluster.api_types import NodeView, StreamView

NODE = NodeView(
    node_id="node-a",
    node_name="a",
    current_connections=10,
    max_connections=100,
    load_percentage=10.0,
    status="healthy",
    reserved=0,
    sent_bps=0,
    bandwidth_bps=None,
    streams=0,
    version="1.0",
    host="",
    media_port=8001,
    rtmp_port=1935,
    last_beat=0.0,
    last_beat_age_s=0.5,
)
STREAM = StreamView("math", "live", "node-a", "a", 1, 0.0, 5, {}, 2_600_000, 0)
SLOW_DISK = Notice("recording_disk_slow", "The disk is too slow.", {"path": "/data"}, level="warning")
NO_KEY = Notice("unplayable_no_key_frame", "No key frame comes.")
FULL_DISK = Notice("recording_disk_full", "Recording has stopped: no space.", {"path": "/data"})


@pytest.mark.parametrize(
    ("change", "level", "code", "fields"),
    [
        ({"status": "offline", "last_beat_age_s": 75.4}, "critical", "node_offline", {"name": "a", "seconds": 75}),
        ({"status": "overloaded"}, "warning", "node_full", {"name": "a"}),
        ({"last_beat_age_s": 30.0}, "warning", "node_overdue", {"name": "a", "seconds": 30}),
        ({"cut_from": ["b", "c"]}, "warning", "node_cut_off", {"name": "a", "origin": "b, c"}),
        (
            {"notices": [FULL_DISK], "alarms": [FULL_DISK.text]},
            "critical",
            "recording_disk_full",
            {"path": "/data", "name": "a"},
        ),
        ({"notices": [SLOW_DISK]}, "warning", "recording_disk_slow", {"path": "/data", "name": "a"}),
        ({"alarms": ["older words"]}, "critical", "node_report", {"text": "older words", "name": "a"}),
    ],
)
def test_an_alarm_of_a_node(change: dict, level: str, code: str, fields: dict):
    (alarm,) = node_alarms([replace(NODE, **change)], healthy_nodes=1, utilization=10.0)
    assert (alarm.level, alarm.code, alarm.fields, alarm.node_id) == (level, code, fields, "node-a")


def test_an_offline_node_has_one_alarm_only():
    offline = replace(NODE, status="offline", cut_from=["b"], version="0.9")
    assert [alarm.code for alarm in node_alarms([NODE, offline], healthy_nodes=1, utilization=0)] == ["node_offline"]


def test_alarms_of_the_cluster_are_sorted_the_worst_first():
    assert [alarm.code for alarm in node_alarms([], healthy_nodes=0, utilization=0)] == ["no_healthy_nodes"]
    nodes = [NODE, replace(NODE, version="1.1"), replace(NODE, status="offline")]
    found = node_alarms(nodes, healthy_nodes=2, utilization=93.3)
    assert [alarm.code for alarm in found] == ["node_offline", "nearly_full", "versions_differ"]
    assert found[1].fields == {"percent": 93}
    assert found[2].fields == {"versions": "1.0, 1.1"}


@pytest.mark.parametrize(
    ("change", "level", "code", "fields"),
    [
        ({"state": "reconnecting"}, "warning", "room_reconnecting", {"room": "math"}),
        ({"origin_name": ""}, "critical", "room_origin_gone", {"room": "math", "origin": "node-a"}),
        ({"notices": [NO_KEY]}, "critical", "unplayable_no_key_frame", {"room": "math"}),
        ({"dropped_samples": 7}, "warning", "room_samples_dropped", {"room": "math", "count": 7}),
    ],
)
def test_an_alarm_of_a_room(change: dict, level: str, code: str, fields: dict):
    (alarm,) = stream_alarms([replace(STREAM, **change)])
    assert (alarm.level, alarm.code, alarm.fields, alarm.room) == (level, code, fields, "math")


def test_a_healthy_cluster_has_no_alarms():
    assert node_alarms([NODE], healthy_nodes=1, utilization=89.9) == []
    assert stream_alarms([STREAM, replace(STREAM, state="ended", origin_name="")]) == []
