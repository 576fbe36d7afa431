"""What a client may cost, and how long it may be silent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """Times and sizes of Engine.IO and Socket.IO connections; each has its key in the ``chat`` section.

    Attributes:
        ping_interval_s: time between a pong and the next ping; ping_timeout_s: longest time from a ping to its pong.
        max_payload_bytes: largest WebSocket message and request body of a client.
        connect_timeout_s: longest time until a client is in its first namespace.
        upgrade_timeout_s: longest time of a change from polling to WebSocket.
        max_attachments: most binary parts of a packet.
        max_backlog: most packets of a client that wait for the application; it is read again below half of it.
        slow_client_bytes: unsent bytes above which a message to everyone is dropped for this client.
        cut_bytes: unsent bytes above which it is disconnected.
        cut_after_s: longest time above ``slow_client_bytes``.
        max_connections: most clients of this node.
        max_greeting_bytes: the same as ``max_payload_bytes`` for a client that is in no namespace yet: a token fits.
        frames_per_turn: packets of one client that are taken before others have their turn.
        max_connections_per_network: most clients of one network, those on this machine excepted.
        max_strangers_per_network: most of these that are in no namespace yet.
    """

    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    max_payload_bytes: int = 1_000_000
    connect_timeout_s: float = 45.0
    upgrade_timeout_s: float = 10.0
    max_attachments: int = 10
    max_backlog: int = 100
    slow_client_bytes: int = 256 << 10
    cut_bytes: int = 1 << 20
    cut_after_s: float = 30.0
    max_connections: int = 20_000
    max_greeting_bytes: int = 64 << 10
    frames_per_turn: int = 200
    max_connections_per_network: int = 3000
    max_strangers_per_network: int = 1000
