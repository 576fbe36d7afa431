"""Viewers of live.mp4 as a process: ``python -m tests.bench.livegen``, with orders as JSON on standard input.

They only read, with one epoll loop and one buffer for all of them, which leaves most of a small machine to the server.
It prints ``steady`` when all of them get media, measures for ``seconds``, prints its result and ends when its
standard input closes.
"""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass

_BUFFER = memoryview(bytearray(1 << 20))
_STEADY_BYTES = 32 << 10
#: After this time without a byte the page would stall, or be close to a stall.
_LATE_S = 0.25
#: A page that shows the class about 0.3 s late stands still after this time without a byte.
_STALL_S = 0.5


@dataclass(slots=True)
class Viewer:
    """One open response."""

    socket: socket.socket
    received: int = 0
    heard_s: float = 0.0
    late: int = 0
    stalls: int = 0
    longest_s: float = 0.0


class House:
    """All viewers."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.viewers: list[Viewer] = []
        self.lost = 0

    def enter(self, host: str, port: int, path: str) -> None:
        sock = socket.create_connection((host, port), timeout=10)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        sock.setblocking(False)
        viewer = Viewer(sock)
        self.viewers.append(viewer)
        self.selector.register(sock, selectors.EVENT_READ, viewer)

    def run(self, until_s: float) -> None:
        """Read from all connections until ``until_s``."""
        while (now_s := time.monotonic()) < until_s:
            for key, _ in self.selector.select(until_s - now_s):
                self._read(key.data)

    def _read(self, viewer: Viewer) -> None:
        now_s = time.monotonic()
        size = viewer.socket.recv_into(_BUFFER)
        if size == 0:
            self.selector.unregister(viewer.socket)
            self.lost += 1
            return
        silent_s = now_s - viewer.heard_s
        if viewer.heard_s and silent_s > _LATE_S:
            viewer.late += 1
            viewer.stalls += silent_s > _STALL_S
        if viewer.heard_s:
            viewer.longest_s = max(viewer.longest_s, silent_s)
        viewer.heard_s = now_s
        viewer.received += size

    def reset(self) -> None:
        for viewer in self.viewers:
            viewer.received = viewer.late = viewer.stalls = 0
            viewer.longest_s = 0.0


def main() -> None:
    orders = json.loads(sys.stdin.readline())
    house = House()
    step_s = orders["ramp_s"] / len(orders["paths"])
    for path in orders["paths"]:
        house.enter(orders["host"], orders["port"], path)
        house.run(time.monotonic() + step_s)
    give_up_s = time.monotonic() + 30
    while any(viewer.received < _STEADY_BYTES for viewer in house.viewers):
        if time.monotonic() > give_up_s:
            sys.exit("not all viewers get media")
        house.run(time.monotonic() + 0.2)
    house.run(time.monotonic() + orders["warm_s"])
    house.reset()
    print(json.dumps({"event": "steady"}), flush=True)
    began_s = time.monotonic()
    house.run(began_s + orders["seconds"])
    seconds = time.monotonic() - began_s
    result = {
        "event": "result",
        "seconds": seconds,
        "received_bytes": sum(viewer.received for viewer in house.viewers),
        "least_bytes": min(viewer.received for viewer in house.viewers),
        "stalls": sum(viewer.stalls for viewer in house.viewers),
        "late": sum(viewer.late for viewer in house.viewers),
        "longest_ms": max(viewer.longest_s for viewer in house.viewers) * 1000,
        "lost": house.lost,
    }
    print(json.dumps(result), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
