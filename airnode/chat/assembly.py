"""Puts the chat of one process together."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.bus.classroom import AttendanceLog
from airnode.bus.client import Bus
from airnode.bus.messages import ChatCounts
from airnode.bus.removals import Removals
from airnode.chat.bridge.bridge import NodeBridge
from airnode.chat.classroom.classroom import Classroom
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.gateway import ChatGateway
from airnode.chat.gateway_directory import GatewayDirectory
from airnode.chat.rooms.access import Admission
from airnode.chat.rooms.application import ChatApplication
from airnode.chat.rooms.log import RoomLog
from airnode.chat.rooms.metrics import ChatMetrics
from airnode.chat.rooms.outage import Outage
from airnode.chat.rooms.payloads import NAMESPACE
from airnode.chat.rooms.presence import Presence, WatchingNow
from airnode.chat.rooms.recovery import Sessions
from airnode.chat.rooms.rooms import ChatRooms
from airnode.chat.socketio.client import SocketClient
from airnode.config.sections.chat import ChatSection
from airnode.config.sections.http import HttpSection
from airnode.kernel.service import Service
from airnode.kernel.tasks import TaskScope
from airnode.web.addresses import Addresses, PortName
from airnode.web.clients import Clients
from airnode.web.health import HealthCheck
from airnode.web.tokens import Tokens

_NODE_ID = re.compile(r"[^\w-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChatParts:
    """The chat of one process. ``services`` start in this order."""

    application: ChatApplication
    gateway: ChatGateway
    services: tuple[Service, ...]
    checks: tuple[HealthCheck, ...]

    def counts(self) -> ChatCounts:
        """Return what the chat counts, for the heartbeat."""
        rooms = self.application.rooms
        delivered, dropped = rooms.metrics.totals()
        return ChatCounts(
            len(self.gateway.sessions),
            delivered,
            dropped,
            rooms.metrics.gaps.total,
            bool(rooms.outage),
            {name: (len(room.members), room.tail.offset) for name, room in rooms.rooms.items() if room.members},
        )

    def add_routes(self, app: web.Application) -> None:
        """Serve ``/socket.io/`` on a port."""
        self.gateway.add_routes(app)


def make_chat(
    bus: Bus,
    section: ChatSection,
    http: HttpSection,
    *,
    node_id: str,
    tokens: Tokens,
    removals: Removals,
    addresses: Addresses,
    port: PortName,
    local_host: str,
    registry: CollectorRegistry,
    tasks: Callable[[str], TaskScope],
    attendance: AttendanceLog | None = None,
    watching: WatchingNow = lambda: {},
) -> ChatParts:
    """Return the chat of this process.

    Args:
        removals: the view of removed students; whoever made it starts it.
        port: whose address other nodes pass requests on to.
        local_host: host of nodes that announce none: they are on the master's machine.
        tasks: returns a new scope.
        attendance: takes notes of who is in the rooms.
        watching: returns the ids of those who watch on this node, by room.
    """
    name = _NODE_ID.sub("-", node_id)
    metrics, outage, log = ChatMetrics(registry), Outage(registry), RoomLog(bus, section)
    rooms = ChatRooms(
        bus,
        section,
        node_id=name,
        log=log,
        metrics=metrics,
        outage=outage,
        presence=Presence(bus, section, name, attendance, watching),
        tasks=tasks("chat-rooms"),
    )
    sessions = Sessions(bus, name, recovery_s=section.recovery_s, lease_s=section.lease_s, tasks=tasks("chat-sessions"))
    admission = Admission(tokens, section.access)
    application = ChatApplication(rooms, sessions, admission, section, tasks("chat"))

    classroom = Classroom(application, section, removals, tasks("classroom"))
    directory = GatewayDirectory(bus, name, addresses, port, local_host, tasks("chat-gateways"))
    gateway = ChatGateway(
        limits_of(section),
        partial(SocketClient, application=application, namespaces=frozenset({NAMESPACE})),
        Clients(http.trusted_proxies),
        node=name,
        find_node=directory.find,
        allowed_origins=http.allowed_origins,
        body_timeout_s=http.request_timeout_s,
        tasks=tasks("chat-gateway"),
        registry=registry,
    )
    bridge = (NodeBridge(bus, application, name, registry, tasks("chat-bridge")),) if section.bridge else ()
    return ChatParts(
        application,
        gateway,
        services=(rooms, sessions, directory, application, classroom, *bridge, gateway),
        checks=(HealthCheck("chat", outage.check, critical=False),),
    )


def limits_of(section: ChatSection) -> ChatLimits:
    """Return the limits of connections."""
    return ChatLimits(
        ping_interval_s=section.ping_interval_s,
        ping_timeout_s=section.ping_timeout_s,
        max_payload_bytes=section.max_payload_bytes,
        connect_timeout_s=section.connect_timeout_s,
        upgrade_timeout_s=section.upgrade_timeout_s,
        max_attachments=section.max_attachments,
        max_backlog=section.max_backlog,
        slow_client_bytes=section.slow_client_bytes,
        cut_bytes=section.cut_bytes,
        cut_after_s=section.cut_after_s,
        max_connections=section.max_connections,
        max_greeting_bytes=section.max_greeting_bytes,
        frames_per_turn=section.frames_per_turn,
        max_connections_per_network=section.max_connections_per_network,
        max_strangers_per_network=section.max_strangers_per_network,
    )
