"""A test network: hosts in network namespaces, joined by a bridge in another namespace.

It changes no address, no route and no forwarding of this machine; deleting the namespaces removes everything. Their
names contain the pid of the test run, so that the namespaces of a killed run are found and removed.

A link is shaped by ``tc netem`` if the kernel has it. Kernels of small virtual machines often do not; then a shaped
link consists of two TAP devices, and this process forwards frames from one to the other.

Needs root and iproute2.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import random
import secrets
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp

T = TypeVar("T")

_NAMES = Path("/run/netns")
_PREFIX = "an-"
#: A network that RFC 2544 reserves for measurements.
_SUBNET = "198.18.0"
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME_BYTES = 65536


@dataclass(frozen=True)
class Shape:
    """The delay, loss and rate of a link.

    Attributes:
        delay_ms: added to each round trip, half in each direction. loss_percent: lost frames in each direction.
        rate_bps: limit in each direction, in bit/s; 0: no limit.
    """

    delay_ms: float = 0.0
    loss_percent: float = 0.0
    rate_bps: int = 0


def missing() -> str | None:
    """Return why this machine cannot have such a network; None: it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("tc") is None:
        return "iproute2 is not installed; tests/system-packages installs it"
    return _refusal()


@functools.cache
def _refusal() -> str | None:
    name = f"{_PREFIX}{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    return f"no network namespace can be made: {made.stderr.strip()}" if made.returncode else None


async def run(*command: str) -> str:
    """Return the output of a command; raise AssertionError with its error output if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}: {errors.decode(errors='replace').strip()}"
    return output.decode()


class Namespace:
    """A network namespace, and a thread in it: a socket belongs to the namespace in which it was created."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=self._enter)

    async def make(self) -> None:
        await run("ip", "netns", "add", self.name)
        await self.ip("link", "set", "lo", "up")

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = os.open(_NAMES / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
        finally:
            os.close(namespace)

    def inside(self, function: Callable[[], T]) -> T:
        """Return the result of ``function`` in the namespace; it must not take long."""
        return self._thread.submit(function).result(10)

    async def ip(self, *args: str) -> str:
        return await run("ip", "-n", self.name, *args)

    async def remove(self) -> None:
        self._thread.shutdown()
        if (_NAMES / self.name).exists():
            await _remove(self.name)


async def _remove(name: str) -> None:
    """Delete a namespace, and kill the processes in it."""
    for pid in (await run("ip", "netns", "pids", name)).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    await run("ip", "netns", "del", name)


class Wire:
    """Forwards frames between two TAP devices, with delay and loss."""

    def __init__(self, ends: tuple[int, int], rng: random.Random) -> None:
        self.shape = Shape()
        self._ends = ends
        self._rng = rng
        #: Loop time at which the last byte of each direction is through.
        self._busy_until_s = [0.0, 0.0]
        self._loop = asyncio.get_running_loop()
        for direction, end in enumerate(ends):
            self._loop.add_reader(end, self._read, direction)

    def close(self) -> None:
        for end in self._ends:
            self._loop.remove_reader(end)
            os.close(end)
        self._ends = (-1, -1)

    def _read(self, direction: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._carry(os.read(self._ends[direction], _FRAME_BYTES), direction)

    def _carry(self, frame: bytes, direction: int) -> None:
        shape = self.shape
        if self._rng.random() * 100 < shape.loss_percent:
            return
        now_s = self._loop.time()
        if shape.rate_bps:
            begin_s = max(now_s, self._busy_until_s[direction])
            self._busy_until_s[direction] = begin_s + 8 * len(frame) / shape.rate_bps
            late_s = self._busy_until_s[direction] - now_s + shape.delay_ms / 2000
        else:
            late_s = shape.delay_ms / 2000
        if late_s:
            self._loop.call_later(late_s, self._write, frame, direction)
        else:
            self._write(frame, direction)

    def _write(self, frame: bytes, direction: int) -> None:
        end = self._ends[1 - direction]
        if end < 0:
            return
        try:
            os.write(end, frame)
        except OSError as error:
            # The device is down or full: the frame is lost, as on any link.
            if error.errno not in (errno.EIO, errno.EAGAIN, errno.ENOBUFS):
                raise


def _open_tap(name: str) -> int:
    """Return the file of a new TAP device in the caller's namespace. Closing the file removes the device."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError:
        os.close(tap)
        raise
    return tap


class Host:
    """A machine on the network: ``eth0`` with an address.

    Attributes:
        address: its IP address.
        shaped: its link can be shaped.
        command: words before a command that run it on this host; the pid stays that of the command.
    """

    def __init__(self, name: str, address: str, namespace: Namespace, switch: Namespace, *, shaped: bool) -> None:
        self.name = name
        self.address = address
        self.shaped = shaped
        self.command = ("ip", "netns", "exec", namespace.name)
        self.port = f"p-{name}"[:15]
        self._namespace = namespace
        self._switch = switch
        self._wire: Wire | None = None
        self._sessions: list[aiohttp.ClientSession] = []

    async def connect(self, wire: random.Random | None) -> None:
        """Connect the host to the bridge by a veth pair, or by a wire whose losses come from ``wire``."""
        await self._namespace.make()
        if wire is None:
            peer = ("peer", "name", self.port, "netns", self._switch.name)
            await self._namespace.ip("link", "add", "eth0", "type", "veth", *peer)
        else:
            ends = (
                self._namespace.inside(functools.partial(_open_tap, "eth0")),
                self._switch.inside(functools.partial(_open_tap, self.port)),
            )
            self._wire = Wire(ends, wire)
        await self._namespace.ip("address", "add", f"{self.address}/24", "dev", "eth0")
        await self._namespace.ip("link", "set", "eth0", "up")
        await self.plug()
        await self._switch.ip("link", "set", self.port, "up")

    async def plug(self) -> None:
        """Let its frames reach the others."""
        await self._switch.ip("link", "set", self.port, "master", "br0")

    async def cut(self) -> None:
        """Drop all its frames, without an error to anybody."""
        await self._switch.ip("link", "set", self.port, "nomaster")

    async def isolate(self, *, on: bool) -> None:
        """Drop its frames to other isolated hosts."""
        port = ("link", "set", "dev", self.port, "isolated", "on" if on else "off")
        await run("bridge", "-n", self._switch.name, *port)

    async def shape(self, shape: Shape) -> None:
        """Delay and lose frames of this host in both directions; ``Shape()`` ends it."""
        if self._wire is not None:
            self._wire.shape = shape
            return
        for namespace, device in ((self._namespace, "eth0"), (self._switch, self.port)):
            qdisc = ("qdisc", "replace", "dev", device, "root", "netem")
            limits = ("delay", f"{shape.delay_ms / 2}ms", "loss", f"{shape.loss_percent}%")
            rate = ("rate", f"{shape.rate_bps}bit") if shape.rate_bps else ()
            await run("tc", "-n", namespace.name, *qdisc, *limits, *rate)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """Return a socket of this host; the caller closes it."""
        return self._namespace.inside(lambda: socket.socket(family, kind, protocol))

    def session(self) -> aiohttp.ClientSession:
        """Return an HTTP session of this host; it is closed with the network."""
        connector = aiohttp.TCPConnector(limit=0, socket_factory=lambda info: self.socket(*info[:3]))
        made = aiohttp.ClientSession(connector=connector)
        self._sessions.append(made)
        return made

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()
        if self._wire is not None:
            self._wire.close()
        await self._namespace.remove()


class Network:
    """Hosts on one bridge; used as an async context manager.

    Args:
        seed: seed of the random losses on wires.
    """

    def __init__(self, seed: int = 1) -> None:
        self._id = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        self._rng = random.Random(seed)
        self._switch = Namespace(f"{self._id}-switch")
        self._netem = False
        self.hosts: dict[str, Host] = {}

    async def __aenter__(self) -> Self:
        await _remove_leftovers()
        await self._switch.make()
        try:
            await self._switch.ip("link", "add", "br0", "type", "bridge", "forward_delay", "0")
            await self._switch.ip("link", "set", "br0", "up")
            self._netem = await self._has_netem()
        except BaseException:
            await self._switch.remove()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts.values():
            await host.close()
        await self._switch.remove()

    async def _has_netem(self) -> bool:
        try:
            await run("tc", "-n", self._switch.name, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
        except AssertionError:
            return False
        return True

    async def host(self, name: str, *, shaped: bool = False) -> Host:
        """Add a host and return it; ``shaped``: its link can be shaped."""
        namespace = Namespace(f"{self._id}-{name}")
        made = Host(name, f"{_SUBNET}.{len(self.hosts) + 1}", namespace, self._switch, shaped=shaped)
        self.hosts[name] = made
        wire = random.Random(self._rng.random()) if shaped and not self._netem else None
        await made.connect(wire)
        return made

    async def part(self, *hosts: Host) -> None:
        """Drop frames between these hosts. Frames between them and all other hosts still arrive."""
        for host in hosts:
            await host.isolate(on=True)

    async def heal(self) -> None:
        """Connect all hosts again, without delay and loss."""
        for host in self.hosts.values():
            await host.plug()
            await host.isolate(on=False)
            if host.shaped:
                await host.shape(Shape())


async def _remove_leftovers() -> None:
    """Remove namespaces of runs that were killed."""
    for path in _NAMES.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(AssertionError):  # another run removes it, too
                await _remove(path.name)
