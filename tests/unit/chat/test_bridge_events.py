"""The bridge to Node.js survives what clients of either side can make it pass on."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
from prometheus_client import CollectorRegistry

from airnode.chat.bridge.bridge import NodeBridge
from airnode.chat.bridge.wire import RequestType, SocketTarget, read_request
from airnode.chat.socketio.socket import Socket
from airnode.kernel.tasks import TaskScope


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def _bridge(registry: CollectorRegistry, **members: Any) -> NodeBridge:
    rooms = SimpleNamespace(appended_hooks=[], signal_hooks=[], rooms={})
    application = SimpleNamespace(rooms=rooms, visitors=[], by_sid={})
    return NodeBridge(cast(Any, SimpleNamespace(**members)), cast(Any, application), "a", registry, TaskScope("bridge"))


async def test_an_event_that_json_cannot_have_is_left_out():
    registry = CollectorRegistry()
    bridge = _bridge(registry)
    for number, value in enumerate((_nested(400), {1: "a"}), 1):
        data = msgspec.msgpack.encode(["node-1", {"type": 2, "data": ["x", value], "nsp": "/"}, {"rooms": ["math"]}])
        await bridge._received({"type": "pmessage", "data": data, "channel": b"socket.io#/#math#"})
        assert registry.get_sample_value("airnode_chat_bridge_total", {"what": "malformed"}) == number


async def test_an_answer_that_is_nested_too_deeply_is_left_out():
    published: list[bytes] = []

    async def publish(channel: str, data: bytes) -> None:
        published.append(data)

    bridge = _bridge(CollectorRegistry(), client=SimpleNamespace(publish=publish))
    packet = {"type": 2, "data": ["x"], "nsp": "/"}
    asked = {"uid": "n", "type": RequestType.BROADCAST, "requestId": "1", "opts": {"rooms": []}, "packet": packet}
    request = read_request(msgspec.msgpack.encode(asked))
    assert request is not None
    assert request.target == SocketTarget()
    for answer in ("good", _nested(1000)):
        owner = SimpleNamespace()
        socket = Socket("s", "/", cast(Any, owner))
        owner.deliver = lambda packet, socket=socket, answer=answer: _acknowledge(socket, answer)
        socket.admitted()
        await bridge._ask_client(request, cast(Any, SimpleNamespace(wire=socket)))
    assert len(published) == 1


def _acknowledge(socket: Socket, answer: object) -> bool:
    socket.acknowledged(1, [answer])
    return True
