"""What a heartbeat says of a node's chat."""

from airnode.bus.messages import ChatCounts, RoomChat
from airnode.cluster.heartbeat import chat_load


def test_rates_are_over_the_time_between_two_heartbeats():
    then = ChatCounts(connections=3, delivered=100, rooms={"math": (2, 40), "art": (1, 7)})
    now = ChatCounts(
        connections=5,
        delivered=160,
        dropped=4,
        gaps=1,
        alone=True,
        rooms={"math": (3, 46), "art": (1, 3), "new": (1, 9)},
    )
    load = chat_load(then, now, 2.0)
    assert (load.connections, load.deliveries_per_s, load.dropped, load.gaps, load.alone) == (5, 30.0, 4, 1, True)
    # A room that begins anew, and one that this node did not follow before, count from here.
    assert load.rooms == {"math": RoomChat(3, 3.0), "art": RoomChat(1, 0.0), "new": RoomChat(1, 0.0)}


def test_a_heartbeat_names_the_fullest_rooms_and_counts_the_others():
    rooms = {f"room-{number}": (number, 1) for number in range(1, 81)}
    load = chat_load(ChatCounts(), ChatCounts(rooms=rooms), 0.0)
    assert load.room_count == 80
    assert [each.members for each in load.rooms.values()] == list(range(80, 30, -1))
