"""Ports, drain and stop of the RTMP server."""

import asyncio
import socket

import pytest
from prometheus_client import CollectorRegistry

from airnode.config.sections.rtmp import RtmpSection
from airnode.errors import StartupError
from airnode.media.rtmp.server import RtmpServer
from tests.support.rtmp import RtmpPublisher
from tests.support.rtmp_server import KEY, Authority, Hub, Rig, running


async def test_drain_disconnects_the_publishers_and_accepts_no_more(rig: Rig) -> None:
    peer, _, room = await rig.publisher()
    await rig.server.drain()
    assert (await peer.answer("onStatus"))[2]["description"] == "The server is shutting down; connect again."  # type: ignore[index]
    assert await peer.closes()
    await rig.until(lambda: room.closed == ["disconnected"])
    other = await RtmpPublisher.connect(rig.server.port)
    _, code = await other.publish("algebra?key=" + KEY)
    assert code == "NetStream.Publish.BadName"
    assert await other.closes()
    assert rig.metric("airnode_rtmp_rejected_total", reason="draining") == 1
    await peer.aclose()
    await other.aclose()


async def test_stop_sends_a_status_to_the_publishers() -> None:
    async with running() as rig:
        peer, _, room = await rig.publisher()
        idle = await RtmpPublisher.connect(rig.server.port)
        await idle.handshake()
        stopping = asyncio.get_running_loop().create_task(rig.server.stop())
        assert (await peer.answer("onStatus"))[2]["description"] == "The server is shutting down; connect again."  # type: ignore[index]
        assert await peer.closes()
        await peer.aclose()
        await idle.aclose()
        await stopping
        assert room.closed == ["disconnected"]
        with pytest.raises(ConnectionError):
            await RtmpPublisher.connect(rig.server.port)
        await rig.server.stop()


async def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rig = Rig(port=port)
        with pytest.raises(StartupError) as caught:
            await rig.server.start()
        assert str(caught.value) == (
            f"Port {port} for RTMP is in use by another program; stop it, "
            "or choose another port with --rtmp-port (0 takes any free one)."
        )
        await rig.server.stop()


async def test_an_address_of_another_machine() -> None:
    server = RtmpServer(RtmpSection(port=0), "192.0.2.1", Authority(), Hub(), CollectorRegistry())
    with pytest.raises(StartupError, match=r"Cannot listen on 192\.0\.2\.1"):
        await server.start()
    await server.stop()
