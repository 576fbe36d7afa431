"""The network that other tests stand on does what they ask of it."""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.netns import Host, Network, Shape, missing
from tests.support.waiting import eventually

#: In one process with the other tests that make networks: one of these looks at all that exist.
pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.xdist_group("networks"),
]


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """Three hosts that send back what they get; the link of b can be shaped."""
    async with Network() as made:
        transports = []
        for name in ("a", "b", "c"):
            host = await made.host(name, shaped=name == "b")
            sock = host.socket(kind=socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((host.address, 7))
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=sock)
            transports.append(transport)
        yield made
        for transport in transports:
            transport.close()


async def trips(source: Host, target: Host, count: int) -> list[float]:
    """Send so many datagrams; seconds of the round trips of those that came back."""
    loop, took_s = asyncio.get_running_loop(), []
    sent_s: dict[bytes, float] = {}
    with source.socket(kind=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((target.address, 7))
        for number in range(count):
            data = str(number).encode()
            sent_s[data] = time.monotonic()
            await loop.sock_sendall(sock, data)
            await asyncio.sleep(0.002)
        try:
            while len(took_s) < count:
                async with asyncio.timeout(1):
                    data = await loop.sock_recv(sock, 99)
                took_s.append(time.monotonic() - sent_s[data])
        except TimeoutError:
            pass
    return took_s


async def reached(source: Host, target: Host) -> bool:
    return bool(await trips(source, target, 1))


async def loses_nothing(source: Host, target: Host) -> bool:
    return len(await trips(source, target, 100)) == 100


async def test_a_shaped_link_is_late_and_loses(network: Network):
    a, b, c = network.hosts.values()
    await eventually(lambda: reached(a, b), what="the link works")
    await b.shape(Shape(delay_ms=150, loss_percent=10))
    took_s = await trips(a, b, 300)
    assert min(took_s) >= 0.15
    assert 100 < len(took_s) < 299
    await eventually(lambda: loses_nothing(a, c), what="other links are as they were")
    await network.heal()
    await eventually(lambda: loses_nothing(a, b), what="the link is whole again")


async def test_a_partition_is_between_two_and_a_cut_is_from_all(network: Network):
    a, b, c = network.hosts.values()
    for source, target in ((a, b), (b, c), (c, a)):
        await eventually(lambda source=source, target=target: reached(source, target), what="all reach all")
    await network.part(a, b)
    assert not await reached(a, b)
    assert await reached(a, c)
    assert await reached(b, c)
    await network.heal()
    await eventually(lambda: reached(a, b), what="the partition heals")
    await c.cut()
    assert not await reached(a, c)
    assert await reached(a, b)
    await network.heal()
    await eventually(lambda: reached(a, c), what="the cut heals")


async def test_what_a_killed_run_left_behind_is_removed():
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    left = Path(f"/run/netns/an-{dead.pid}-left-x")
    subprocess.run(["ip", "netns", "add", left.name], check=True)
    async with Network():
        assert not left.exists()


async def test_nothing_of_this_machine_is_touched():
    async def seen() -> list[str]:
        commands = (["ip", "address"], ["ip", "route"], ["ip", "rule"], ["sysctl", "-n", "net.ipv4.ip_forward"])
        texts = [subprocess.run(command, check=False, capture_output=True, text=True).stdout for command in commands]
        return [line for text in texts for line in text.splitlines() if "valid_lft" not in line]

    before = await seen()
    async with Network() as network:
        await network.host("a")
        await network.host("b", shaped=True)
        assert await seen() == before
    assert await seen() == before
