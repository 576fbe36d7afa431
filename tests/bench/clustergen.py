"""The load generator as a process: ``python -m tests.bench.clustergen SECONDS``; it ends after that time.

One epoll loop and one buffer serve all viewers, which leaves most of a small machine to the nodes. Orders come as lines
of JSON on standard input; viewers go on while the generator waits for the next order:

``{"do": "add", "kind": "hls" | "live", "viewers": [[host, port, base path], …], "ramp_s": 5}``
    they join one by one; answered by ``{"event": "playing", "viewers": n}`` once all of them play
``{"do": "measure", "seconds": 20}``
    answered by ``{"event": "result", …}``

It ends when its standard input closes.
"""

import contextlib
import heapq
import json
import os
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from tests.bench.clusterplay import Listing, Part, Playback, first_parts, producer_time, read_listing
from tests.bench.meters import quantile

_BUFFER = bytearray(1 << 20)
_VIEW = memoryview(_BUFFER)
_RETRY_S = 0.25
_JOIN_S = 45.0
#: The buffer of airnode's page for live.mp4 on a stable network, and that of hls.js before it continues after a stall.
_LIVE_AIM_S, _HLS_AIM_S = 0.15, 0.1


class Viewer:
    """One student."""

    def __init__(self, aim_s: float) -> None:
        self.playback = Playback(aim_s)
        self.received = 0
        self.fed = False


class Connection:
    """Keep-alive HTTP/1.1 with Content-Length, one request at a time."""

    def __init__(self, at: tuple[str, int], done: Callable[["House", int, bytes], None], viewer: Viewer) -> None:
        self._tail = f" HTTP/1.1\r\nHost: {at[0]}:{at[1]}\r\n\r\n".encode()
        self._done = done
        self._viewer = viewer
        self._pieces: list[bytes] = []
        self._missing = 0
        self._status = 0
        self.socket = socket.create_connection(at, timeout=10)
        self.socket.setblocking(False)

    def ask(self, path: str) -> None:
        self.socket.send(b"GET " + path.encode() + self._tail)

    def read(self, house: "House") -> None:
        size = house.recv(self)
        if size <= 0:
            return
        self._viewer.received += size
        data = bytes(_VIEW[:size])
        if not self._missing:
            data = b"".join((*self._pieces, data))
            head, found, body = data.partition(b"\r\n\r\n")
            if not found:
                self._pieces = [data]
                return
            head = head.lower()
            self._status = int(head[9:12])
            self._missing = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            self._pieces, data = [], body
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing <= 0:
            body, self._pieces, self._missing = b"".join(self._pieces), [], 0
            self._done(house, self._status, body)


class HlsViewer(Viewer):
    """Plays as hls.js does: requests the next playlist as soon as one arrived, and fetches parts one by one."""

    def __init__(self, at: tuple[str, int], base: str) -> None:
        super().__init__(_HLS_AIM_S)
        self._base = base
        self._wanted: deque[Part | str] = deque()
        self._fetching: Part | str | None = None
        self._newest = ""
        self._lists = Connection(at, self._listed, self)
        self._media = Connection(at, self._fetched, self)

    def enter(self, house: "House") -> None:
        house.register(self._lists)
        house.register(self._media)
        self._reload("")

    def _reload(self, query: str) -> None:
        self._lists.ask(f"{self._base}media.m3u8{query}")

    def _listed(self, house: "House", status: int, body: bytes) -> None:
        if status != 200:
            house.errors[f"playlist {status}"] += 1
            house.later(_RETRY_S, lambda: self._reload(""))
            return
        listing = read_listing(body)
        if listing.parts:
            self._want(listing)
        self._reload(f"?_HLS_msn={listing.msn}&_HLS_part={listing.part}&_HLS_skip=YES")
        self._fetch_next()

    def _want(self, listing: Listing) -> None:
        if not self._newest:
            at_s, parts = first_parts(listing)
            self.playback.begin(at_s, time.time())
            self._wanted.append(listing.init)
        else:
            names = [part.name for part in listing.parts]
            parts = listing.parts[names.index(self._newest) + 1 :] if self._newest in names else listing.parts
        self._wanted.extend(parts)
        self._newest = listing.parts[-1].name

    def _fetch_next(self) -> None:
        if self._fetching is None and self._wanted:
            self._fetching = self._wanted.popleft()
            self._media.ask(self._base + (self._fetching if isinstance(self._fetching, str) else self._fetching.name))

    def _fetched(self, house: "House", status: int, _: bytes) -> None:
        fetched, self._fetching = self._fetching, None
        if status != 200:
            house.errors[f"media {status}"] += 1
        elif isinstance(fetched, Part):
            now_s = time.time()
            self.playback.fed(fetched.end_s, now_s)
            self.playback.note(now_s)
            self.fed = True
        self._fetch_next()


class LiveViewer(Viewer):
    """Plays as airnode's page does: one endless response."""

    def __init__(self, at: tuple[str, int], base: str) -> None:
        super().__init__(_LIVE_AIM_S)
        self._request = f"GET {base}live.mp4 HTTP/1.1\r\nHost: {at[0]}:{at[1]}\r\n\r\n".encode()
        self._reads = 0
        self._status = 0
        self.socket = socket.create_connection(at, timeout=10)
        self.socket.setblocking(False)

    def enter(self, house: "House") -> None:
        house.register(self)
        self.socket.send(self._request)

    def read(self, house: "House") -> None:
        size = house.recv(self)
        if size <= 0:
            return
        self.received += size
        if not self._status:
            self._status = int(_BUFFER[9:12])
            if self._status != 200:
                house.errors[f"live.mp4 {self._status}"] += 1
        found = producer_time(_BUFFER, size)
        if found is None:
            return
        now_s, (origin_s, media_s) = time.time(), found
        if not self.fed:
            self.fed = True
            self.playback.begin(media_s, now_s)
        self.playback.fed(media_s, now_s)
        self._reads += 1
        if self._reads % 8 == 0:
            # The live position has advanced since the origin received this media.
            self.playback.note(media_s + now_s - origin_s)


KINDS: dict[str, type[HlsViewer] | type[LiveViewer]] = {"hls": HlsViewer, "live": LiveViewer}


class House:
    """All viewers of this process."""

    def __init__(self, until_s: float) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._until_s = until_s
        #: Duration of each turn of the loop: the most that this process adds to the latency of an event.
        self._turns_s: deque[float] = deque(maxlen=100_000)
        self._orders: deque[dict[str, Any] | None] = deque()
        self.viewers: list[HlsViewer | LiveViewer] = []
        self.errors: Counter[str] = Counter()
        self.ports: list[int] = []
        os.set_blocking(0, False)
        self._input = b""
        self._selector.register(0, selectors.EVENT_READ, None)

    def register(self, reader: Any) -> None:
        self._selector.register(reader.socket, selectors.EVENT_READ, reader)

    def recv(self, reader: Any) -> int:
        """Return the number of bytes read into the buffer; 0: the node closed the connection; -1: nothing to read."""
        try:
            size = int(reader.socket.recv_into(_VIEW))
        except BlockingIOError:
            return -1
        except OSError:
            size = 0
        if size == 0:
            self.errors["hung up"] += 1
            self._selector.unregister(reader.socket)
        return size

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + delay_s, self._count, do))

    def run(self, until_s: float, *, unless: Callable[[], bool] = bool) -> None:
        """Run the viewers until ``until_s``, or until ``unless`` returns true."""
        until_s = min(until_s, self._until_s)
        while (now_s := time.monotonic()) < until_s and not unless():
            wait_s = min(until_s, self._timers[0][0] if self._timers else until_s, now_s + 0.1) - now_s
            events = self._selector.select(max(wait_s, 0))
            began_s = time.monotonic()
            for key, _ in events:
                if key.data is None:
                    self._hear()
                else:
                    with contextlib.suppress(OSError):  # the node is gone; its other socket reports it
                        key.data.read(self)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
            self._turns_s.append(time.monotonic() - began_s)

    def _hear(self) -> None:
        data = os.read(0, 1 << 20)
        if not data:
            self._orders.append(None)
            self._selector.unregister(0)
            return
        *lines, self._input = (self._input + data).split(b"\n")
        self._orders.extend(json.loads(line) for line in lines if line)

    def order(self) -> dict[str, Any] | None:
        """Return the next order; None: standard input is closed."""
        while not self._orders:
            if time.monotonic() >= self._until_s:
                return None
            self.run(self._until_s, unless=lambda: bool(self._orders))
        return self._orders.popleft()

    def add(self, order: dict[str, Any]) -> dict[str, Any]:
        kind, step_s = KINDS[order["kind"]], order["ramp_s"] / max(1, len(order["viewers"]))
        for host, port, base in order["viewers"]:
            viewer = kind((host, port), base)
            self.viewers.append(viewer)
            self.ports.append(port)
            viewer.enter(self)
            self.run(time.monotonic() + step_s)
        self.run(time.monotonic() + _JOIN_S, unless=lambda: all(viewer.fed for viewer in self.viewers))
        return {"event": "playing", "viewers": sum(viewer.fed for viewer in self.viewers), "errors": dict(self.errors)}

    def measure(self, seconds: float) -> dict[str, Any]:
        self._turns_s.clear()
        self.errors.clear()
        now_s = time.time()
        for viewer in self.viewers:
            viewer.playback.advance(now_s)
            viewer.playback.reset()
            viewer.received = 0
        began_s, cpu_s = time.monotonic(), time.process_time()
        self.run(began_s + seconds)
        took_s, cpu_s, now_s = time.monotonic() - began_s, time.process_time() - cpu_s, time.time()
        for viewer in self.viewers:
            viewer.playback.advance(now_s)
        played = [viewer.playback for viewer in self.viewers]
        return {
            "event": "result",
            "seconds": took_s,
            "viewers": len(self.viewers),
            "stalls": sum(each.stalls for each in played),
            "stalled_viewers": sum(each.stalls > 0 or each.stalled_s > 0 for each in played),
            "stalled_s": sum(each.stalled_s for each in played),
            "jumps": sum(each.jumps for each in played),
            "errors": dict(self.errors),
            "received_bytes": sum(viewer.received for viewer in self.viewers),
            "received_by_port": self._received(),
            "behind_ms": _thinned(sorted(each * 1000 for playback in played for each in playback.behind_s)),
            "cpu_s": cpu_s,
            "turn_p99_ms": quantile(list(self._turns_s), 0.99) * 1000,
            "turn_max_ms": max(self._turns_s, default=0.0) * 1000,
        }

    def _received(self) -> dict[int, int]:
        """Return {port: bytes that its viewers received}."""
        found: Counter[int] = Counter()
        for viewer, port in zip(self.viewers, self.ports, strict=True):
            found[port] += viewer.received
        return dict(found)


def _thinned(values: list[float]) -> list[float]:
    """Return some thousand of the sorted values at most, always with the largest."""
    step = max(1, len(values) // 2000)
    return [round(each, 1) for each in values[step // 2 :: step]] + [round(each, 1) for each in values[-1:]]


def main() -> None:
    house = House(time.monotonic() + float(sys.argv[1]))
    while (order := house.order()) is not None:
        answer = house.add(order) if order["do"] == "add" else house.measure(order["seconds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
