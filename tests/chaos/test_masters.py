"""Two masters behind one address, one of them killed: places are given away as before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.conftest import DEFAULTS
from tests.support.balancer import Balancer
from tests.support.cluster import Cluster
from tests.support.node import AirnodeProcess
from tests.support.valkey import ExternalValkey
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def cluster(
    tmp_path: Path, session: aiohttp.ClientSession, valkey: ExternalValkey, postgres_url: str
) -> AsyncIterator[Cluster]:
    """Two masters on stores that are not theirs."""
    made = Cluster(tmp_path, session, *DEFAULTS, "--redis-url", valkey.url, "--postgres-url", postgres_url)
    try:
        await made.start()
        await made.add_master("master-2")
        yield made
    finally:
        await made.close()


async def test_a_killed_master_is_not_missed(cluster: Cluster, tmp_path: Path):
    masters = cluster.nodes[:2]
    async with Balancer(masters) as address:
        slave = cluster.slave("slave-1", master_url=address)
        await slave.start()
        await cluster.until("slave-1", "healthy")
        answered: list[int] = []
        asking = asyncio.create_task(ask_on(cluster, address, answered))
        try:
            await eventually(lambda: answered.count(200) >= 20, 20, "places are given away")
            await masters[0].kill()
            killed = len(answered)
            await eventually(lambda: answered[killed:].count(200) >= 40, 20, "places are given away on")
        finally:
            asking.cancel()
        # Requests that the dead master had in hand are lost; a page asks again.
        assert all(status == 200 for status in answered[killed + 2 :]), answered[killed:]
        late = await cluster.slave("slave-2", master_url=address).start()
        await eventually(lambda: listed(cluster, masters[1], {"slave-1", "slave-2"}), 20, "slaves join on")
        assert await late.stop() == 0


async def listed(cluster: Cluster, master: AirnodeProcess, names: set[str]) -> bool:
    nodes = await cluster.listed(master)
    return {name for name, node in nodes.items() if node["status"] == "healthy"} == names


async def ask_on(cluster: Cluster, address: str, answered: list[int]) -> None:
    """Students who join one after the other; 0: no answer."""
    body = {"user_type": "student", "code": cluster.master["class_code"]}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for index in range(10_000):
            try:
                async with session.post(f"{address}/api/token", json=body | {"user_id": f"s{index}"}) as response:
                    answered.append(response.status)
            except aiohttp.ClientError:
                answered.append(0)
            await asyncio.sleep(0.02)
