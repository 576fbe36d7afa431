"""The node that a viewer or a publisher of a room is sent to."""

from collections.abc import Collection

from airnode.bus.messages import NodeRecord
from airnode.cluster.node_states import NodeStates
from airnode.cluster.room_states import RoomStates


class RoomNodes:
    """Chooses nodes by the load of all nodes and by the room's origin."""

    def __init__(self, nodes: NodeStates, rooms: RoomStates) -> None:
        self._nodes = nodes
        self._rooms = rooms

    async def for_viewer(self, room: str, session_id: str, avoid: Collection[str] = ()) -> NodeRecord:
        """Reserve a place for a viewer and return its node.

        Args:
            avoid: ids of nodes that failed this viewer; they are taken only if there is no other.

        Raises:
            NoHealthyNodes: (503) no node is left, or all are full or draining.
        """
        return await self._nodes.place_viewer(session_id, [*avoid, *self._nodes.cut_off_from(self._rooms.origin(room))])

    def for_publisher(self, room: str, avoid: Collection[str] = ()) -> NodeRecord:
        """Return the room's origin while it reports, else the least loaded node.

        Raises:
            NoHealthyNodes: (503) no node is left, or all are draining.
        """
        return self._nodes.place_publisher(self._rooms.origin(room), avoid, silent=self._rooms.silent(room))
