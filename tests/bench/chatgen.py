"""A load of Socket.IO clients over WebSocket that costs little: one thread, epoll, bytes counted rather than parsed.

``python -m tests.bench.chatgen JSON`` connects and joins, and prints ``{"joined_s": …}``. For each line on standard
input it does a round of its work and prints the results as a line of JSON. It stays connected until its input ends.
"""

import base64
import contextlib
import json
import os
import resource
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PING, _PONG = b"\x81\x012", b"\x81\x81\0\0\0\x003"
_MESSAGE = b'42["message",{'
_STAMP = b'"content":"T'
_STAMP_DIGITS = 16
#: One of so many clients measures latencies; all count.
_SAMPLED = 7
#: Most clients that have not joined yet.
_JOINING_MAX = 1000


@dataclass(frozen=True)
class Load:
    """What the clients do.

    Attributes:
        urls: of the servers; clients take them in turn.
        rooms: the clients are spread over so many. room: or all are in this one.
        connect_per_s: so many new clients a second; 0: all at once.
        in_flight: senders in a closed loop, each sends when it got its last message; 0: none.
        rate_per_s: messages a second in an open loop; 0: none.
        messages: so many messages end it earlier than ``seconds``; 0: nothing does.
        chars: of a message's text.
        deaf: whether one more client joins before the second round, and never reads.
    """

    urls: list[str]
    clients: int
    rooms: int = 1
    connect_per_s: float = 0
    in_flight: int = 0
    rate_per_s: float = 0
    seconds: float = 10
    messages: int = 0
    chars: int = 100
    deaf: bool = False
    room: str = ""


def masked(text: str) -> bytes:
    """Return a text frame whose mask is zero, which leaves the text as it is."""
    data = text.encode()
    size = len(data)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0xFE, size)
    return head + b"\0\0\0\0" + data


class ChatPeer:
    """One client."""

    def __init__(self, url: str, room: str, number: int) -> None:
        self.url, self.room, self.number = urlsplit(url), room, number
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.phase = "connecting"
        self.rest = b""
        self.received = 0
        self.got_own = False
        self.own = f"T{number:05}".encode()

    def connect(self) -> None:
        self.sock.connect_ex((self.url.hostname, self.url.port))

    def opened(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.send(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {self.url.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.phase = "opening"

    def send(self, text: str) -> None:
        self.sock.send(masked(text))

    def step(self) -> bool:
        """Go on with connecting and joining; return whether the client has joined now."""
        if self.phase == "opening" and b'0{"sid"' in self.rest:
            self.phase = "entering"
            self.send("40" + json.dumps({"name": f"Student {self.number}"}))
        elif self.phase == "entering" and b'40{"sid"' in self.rest:
            self.phase = "joining"
            self.send(f'420["joinRoom","{self.room}"]')
        elif self.phase == "joining" and b"430[" in self.rest:
            self.phase, self.rest = "joined", b""
            return True
        return False


@dataclass
class Crowd:
    """All clients, and the loop that serves them."""

    load: Load
    peers: list[ChatPeer] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    joined: int = 0
    deliveries: int = 0
    sent: int = 0
    closed: int = 0
    #: What the server said to the client that was closed last.
    last_words: str = ""

    def __post_init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def start(self) -> float:
        """Connect and join; return how long that took."""
        load, began_s = self.load, time.monotonic()
        waiting = [
            ChatPeer(load.urls[number % len(load.urls)], load.room or f"room-{number % load.rooms}", number)
            for number in range(load.clients)
        ]
        while self.joined < load.clients:
            due = load.clients if not load.connect_per_s else int((time.monotonic() - began_s) * load.connect_per_s) + 1
            # A server that is behind closes connections whose request it has not seen for http.silence_timeout_s.
            while waiting and len(self.peers) < min(due, self.joined + _JOINING_MAX):
                peer = waiting.pop(0)
                self.peers.append(peer)
                self.selector.register(peer.sock, selectors.EVENT_WRITE, peer)
                peer.connect()
            self.turn(0.005 if waiting else 0.05)
            assert not self.closed, f"{self.closed} closed after {self.joined} joined: {self.last_words}"
            assert time.monotonic() - began_s < 120, f"only {self.joined} joined"
        return time.monotonic() - began_s

    def turn(self, wait_s: float) -> None:
        for key, mask in self.selector.select(wait_s):
            peer: ChatPeer = key.data
            if mask & selectors.EVENT_WRITE:
                peer.opened()
                self.selector.modify(peer.sock, selectors.EVENT_READ, peer)
            else:
                self._read(peer)

    def _read(self, peer: ChatPeer) -> None:
        try:
            data = peer.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed += 1
            self.last_words = f"while {peer.phase}, after {peer.rest[-200:]!r}"
            self.selector.unregister(peer.sock)
            return
        if _PING in data:
            peer.sock.send(_PONG)
        if peer.phase != "joined":
            peer.rest += data
            self.joined += peer.step()
            return
        whole = peer.rest + data
        count = whole.count(_MESSAGE)
        if count:
            self.deliveries += count
            peer.received += count
            if peer.own in whole:
                peer.got_own = True
            if peer.number % _SAMPLED == 0:
                self._measure(whole)
        # A message that is cut in two is counted with its other half.
        last = whole.rfind(b"\x81")
        peer.rest = whole[last:] if last >= 0 and whole.find(_MESSAGE, last) < 0 and len(whole) - last < 4096 else b""

    def _measure(self, data: bytes) -> None:
        now_s, at = time.monotonic(), 0
        while (at := data.find(_STAMP, at)) >= 0:
            at += len(_STAMP) + 6
            with contextlib.suppress(ValueError):
                self.latencies_s.append(now_s - int(data[at : at + _STAMP_DIGITS]) / 1e6)

    def send(self, peer: ChatPeer, at_s: float) -> None:
        text = f"T{peer.number:05}:{int(at_s * 1e6):0{_STAMP_DIGITS}} ".ljust(self.load.chars, "x")
        peer.send(f'421["sendMessage","{peer.room}",{{"content":"{text}","type":"text"}}]')
        self.sent += 1

    def talk(self) -> float:
        """Send as the load says; return for how long."""
        load, began_s = self.load, time.monotonic()
        self.sent = self.deliveries = 0
        self.latencies_s = []
        senders = self.peers[: load.in_flight]
        for peer in senders:
            self.send(peer, time.monotonic())
        most = load.messages or float("inf")
        while (now_s := time.monotonic()) - began_s < load.seconds and self.sent < most:
            self.turn(0.002 if load.rate_per_s or senders else 0.05)
            for peer in senders:
                if peer.got_own:
                    peer.got_own = False
                    self.send(peer, time.monotonic())
            while load.rate_per_s and self.sent < (now_s - began_s) * load.rate_per_s:
                due_s = began_s + self.sent / load.rate_per_s
                self.send(self.peers[self.sent * 37 % len(self.peers)], due_s)
        took_s = time.monotonic() - began_s
        last = -1
        while last != self.deliveries:
            last, until_s = self.deliveries, time.monotonic() + 1
            while time.monotonic() < until_s:
                self.turn(0.05)
        return took_s


def deaf_socket(load: Load) -> socket.socket:
    """Return a client that joins the first room and reads nothing more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    url = urlsplit(load.urls[0])
    sock.connect((url.hostname, url.port))
    peer = ChatPeer(load.urls[0], "room-0", 99_999)
    peer.sock = sock
    peer.opened()
    while not peer.step():
        peer.rest += sock.recv(4096)
    return sock


def main() -> None:
    """Run the load that the argument describes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = Load(**json.loads(sys.argv[1]))
    crowd = Crowd(load)
    joined_s = crowd.start()
    print(json.dumps({"joined_s": joined_s}), flush=True)
    rounds, deaf = 0, None
    while _wait_for_line(crowd):
        rounds += 1
        if load.deaf and rounds == 2:
            deaf = deaf_socket(load)
        print(json.dumps(_round(crowd)), flush=True)
    if deaf is not None:
        deaf.close()


def _round(crowd: Crowd) -> dict[str, float]:
    took_s = crowd.talk()
    spread = sorted(crowd.latencies_s)
    return {
        "took_s": took_s,
        "sent": crowd.sent,
        "deliveries": crowd.deliveries,
        "expected": crowd.sent * crowd.load.clients // crowd.load.rooms,
        "closed": crowd.closed,
        "p50_ms": spread[len(spread) // 2] * 1000 if spread else 0.0,
        "p99_ms": spread[int(len(spread) * 0.99)] * 1000 if spread else 0.0,
    }


def _wait_for_line(crowd: Crowd) -> bool:
    """Serve the clients until there is a line on standard input; return False at its end."""
    stdin = sys.stdin.fileno()
    while not _ready(stdin):
        crowd.turn(0.05)
    return bool(os.read(stdin, 1))


def _ready(descriptor: int) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(0))


if __name__ == "__main__":
    main()
