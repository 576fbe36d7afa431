"""The ``[chat]`` section of the configuration."""

from typing import Literal

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class ChatSection(Section):
    """Chat, presence and everything else that people in a class send each other (Socket.IO)."""

    access: Literal["token", "open"] = Field(
        default="token",
        description="Who may connect: only clients with a token of POST /api/token (token), or everybody, to any room "
        "and under any name (open, for old clients). Where the ports listen on a public address, open takes "
        "--set chat.access=open.",
    )
    ping_interval_s: Seconds = Field(
        default=25.0, ge=0.1, le=600, description="Time between two pings of the server; below every proxy's timeout."
    )
    ping_timeout_s: Seconds = Field(
        default=20.0, ge=0.1, le=600, description="A client that does not answer a ping for this long is disconnected."
    )
    connect_timeout_s: Seconds = Field(
        default=45.0, ge=0.1, le=600, description="A connection that joins no namespace for this long is closed."
    )
    max_payload_bytes: ByteSize = Field(
        default=1_000_000, ge=1024, le=16 << 20, description="Largest message or polling request of a client."
    )
    max_greeting_bytes: ByteSize = Field(
        default=64 << 10,
        ge=4096,
        description="The same for a client that is in no namespace yet: its token fits, and strangers cost little.",
    )
    upgrade_timeout_s: Seconds = Field(
        default=10.0, ge=0.1, le=600, description="Longest time of a client's change from long-polling to WebSocket."
    )
    max_attachments: int = Field(default=10, ge=0, le=1000, description="Most binary parts of one packet of a client.")
    max_backlog: int = Field(
        default=100, ge=1, le=10_000, description="Most packets of one client that wait; above it, it is not read."
    )
    max_connections: int = Field(
        default=20_000, ge=1, description="Largest number of chat connections on this node; further ones get 503."
    )
    max_connections_per_network: int = Field(
        default=3000,
        ge=1,
        description="Most chat connections of one network (an IPv4 address, an IPv6 /64) on this node; further ones "
        "get 429. A school may be behind one address. This machine's own are not counted.",
    )
    max_strangers_per_network: int = Field(
        default=1000,
        ge=1,
        description="Most of these that have not shown a token yet; above it, the oldest one is closed.",
    )
    max_connections_per_person: int = Field(
        default=20,
        ge=1,
        description="Most chat connections of one person on this node (tabs, devices); further ones are refused.",
    )
    frames_per_turn: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Packets of one client that are read before all others have their turn.",
    )
    max_rooms_per_client: int = Field(
        default=20, ge=1, le=1000, description="Most rooms that one client may be in (a token opens only one)."
    )
    max_message_chars: int = Field(default=2000, ge=1, le=20_000, description="Longest message, in characters.")
    send_rate_per_s: float = Field(
        default=2.0, gt=0, description="Messages that one person may send into a room per second, on average."
    )
    send_burst: int = Field(default=10, ge=1, description="Messages that one person may send into a room at once.")
    event_rate_per_s: float = Field(
        default=10.0,
        gt=0,
        description="Events of each name that one connection may send per second, on average; of joinRoom and history, "
        "one person on all its connections to a node.",
    )
    event_burst: int = Field(default=40, ge=1, description="Events of each name that one connection may send at once.")
    action_rate_per_s: float = Field(
        default=1.0,
        gt=0,
        description="How often one person may raise a hand, ask, support or answer in a room per second, on average.",
    )
    action_burst: int = Field(default=10, ge=1, description="How often one person may do that at once.")
    reaction_rate_per_s: float = Field(
        default=3.0, gt=0, description="Reactions of one person in a room per second, on average."
    )
    reaction_burst: int = Field(default=10, ge=1, description="Reactions of one person in a room at once.")
    reactions: tuple[str, ...] = Field(
        default=("👍", "❤️", "👏", "😂", "😮", "🎉", "🤔", "🙏"),
        max_length=32,
        description="The reactions that people can send; pages show them in this order.",
    )
    max_hands: int = Field(default=1000, ge=1, le=10_000, description="Most raised hands in a room.")
    max_questions: int = Field(default=300, ge=1, le=1000, description="Most questions in a room.")
    questions_per_user: int = Field(
        default=5, ge=1, le=100, description="Most questions of one person in a room that are not answered yet."
    )
    max_question_chars: int = Field(default=500, ge=1, le=2000, description="Longest question, in characters.")
    max_poll_options: int = Field(default=10, ge=2, le=50, description="Most options of a poll.")
    max_option_chars: int = Field(default=200, ge=1, le=500, description="Longest option of a poll, in characters.")
    max_muted: int = Field(default=1000, ge=1, le=10_000, description="Most students who are muted in one room.")
    max_removed: int = Field(
        default=1000, ge=1, le=10_000, description="Most students who can be removed from one class."
    )
    history_messages: int = Field(
        default=200, ge=1, le=1000, description="Newest messages that a client gets when it joins a room."
    )
    max_answer_bytes: ByteSize = Field(
        default=192 << 10,
        ge=4096,
        le=4 << 20,
        description="Messages in one answer of joinRoom or history are fewer above this size; history has the rest. "
        "Keep it below slow_client_bytes.",
    )
    log_entries: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Newest entries of a room (messages, polls, …) that Redis keeps, for history and recovery.",
    )
    log_keep_s: Seconds = Field(
        default=604_800.0, ge=3600, description="How long Redis keeps a room in which nothing happens."
    )
    outbox_entries: int = Field(
        default=200_000,
        ge=1000,
        description="Most entries of all rooms that wait in Redis until a master takes them into the class record.",
    )
    recovery_s: Seconds = Field(
        default=120.0,
        ge=0,
        le=3600,
        description="A client that comes back within this time gets what it missed (connection state recovery).",
    )
    room_linger_s: Seconds = Field(
        default=5.0, ge=0, le=300, description="How long a node follows a room after its last member left."
    )
    offline_entries: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Messages of a room that a node keeps while Redis does not answer, and stores afterwards.",
    )
    presence_users: int = Field(
        default=200, ge=0, description="In a room with more people, only their number is sent, not who they are."
    )
    lease_s: Seconds = Field(
        default=10.0, ge=3, le=300, description="People on a node that fails vanish from their rooms after this time."
    )
    slow_client_bytes: ByteSize = Field(
        default=256 << 10,
        ge=4096,
        description="Unsent bytes of a slow client from which on messages are dropped for it, and reported as a gap.",
    )
    cut_bytes: ByteSize = Field(
        default=1 << 20, ge=8192, description="Unsent bytes from which on a slow client is disconnected."
    )
    cut_after_s: Seconds = Field(default=30.0, gt=0, description="A client that is slow for this long is disconnected.")
    bridge: bool = Field(
        default=False,
        description="Share rooms with Node.js servers that use @socket.io/redis-adapter on the same Redis.",
    )
