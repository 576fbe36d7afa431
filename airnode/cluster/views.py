"""What the API shows of rooms."""

import msgspec

from airnode.bus.messages import RoomPhase, StreamInfo


class RoomView(msgspec.Struct):
    """A room as its pages show it; times in unix seconds, ``server_time`` to correct a page's clock by.

    Attributes:
        recording: it is being recorded now.
    """

    room: str
    state: RoomPhase
    since: float
    reconnect_deadline: float | None
    viewers: int
    epoch: int
    server_time: float
    stream: StreamInfo | None
    recording: bool = False
