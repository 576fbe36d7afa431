"""A cluster as its users run it: masters and slaves as processes on loopback, found through the first master."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from tests.support.contract import Contract
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

TOKEN = "c0ffee" * 8
KEY = "5ea1ed" * 8
TEACHER = "the-teachers-own-word"
ADMIN = "the-admins-own-word"
#: Short heartbeats, so that tests need not wait long for a dead node. Slaves get these settings from masters.
QUICK = ("--set", "cluster.heartbeat_s=0.3", "--set", "cluster.lease_s=1.5")
#: The default beats: quicker ones cost CPU time, which measurements would count.
USUAL = ("--set", "cluster.heartbeat_s=2", "--set", "cluster.lease_s=6")


class Cluster:
    """A master with embedded stores, and slaves that get only its address and the token.

    Args:
        settings: arguments of masters, such as ``--set``.
    """

    def __init__(self, directory: Path, session: aiohttp.ClientSession, *settings: str) -> None:
        self.directory = directory
        self.session = session
        self.settings = settings or QUICK
        self.nodes: list[AirnodeProcess] = []
        self.master = self._master("master")

    def _master(self, name: str, *args: str) -> AirnodeProcess:
        env = {
            "JWT_SECRET_KEY": KEY,
            "AIRNODE_CLUSTER__TOKEN": TOKEN,
            "AIRNODE_AUTH__TEACHER_SECRET": TEACHER,
            "AIRNODE_AUTH__ADMIN_SECRET": ADMIN,
        }
        made = AirnodeProcess(self.directory / name, *self.settings, "--node-name", name, *args, role="master", env=env)
        self.nodes.append(made)
        return made

    async def start(self, slaves: int = 0) -> "Cluster":
        await self.master.start()
        await asyncio.gather(*(self.add_slave(f"slave-{index + 1}") for index in range(slaves)))
        return self

    def slave(self, name: str, *args: str, token: str = TOKEN, master_url: str = "") -> AirnodeProcess:
        """Return a slave that is not started yet."""
        url = master_url or self.master["api_url"]
        made = AirnodeProcess(
            self.directory / name,
            "--master-url",
            url,
            "--node-name",
            name,
            *args,
            role="slave",
            env={"AIRNODE_CLUSTER__TOKEN": token} if token else {},
        )
        self.nodes.append(made)
        return made

    async def add_slave(self, name: str, *args: str) -> AirnodeProcess:
        """Return a new slave to which masters already send viewers."""
        made = await self.slave(name, *args).start()
        await self.until(name, "healthy")
        return made

    def node(self, name: str) -> AirnodeProcess:
        """Return the node with this name."""
        return next(each for each in self.nodes if each.data_dir.name == name)

    async def add_master(self, name: str) -> AirnodeProcess:
        """Return another master, started on the stores of the first."""
        if "--redis-url" in self.settings:  # the stores are not embedded
            return await self._master(name).start()
        stores = EmbeddedPostgres(self.master.data_dir, EmbeddedSection(), EmbeddedMetrics(CollectorRegistry()))
        made = self._master(name, "--redis-url", await self.redis_url(), "--postgres-url", stores.url)
        return await made.start()

    async def redis_url(self) -> str:
        """Return the address of Redis that a slave gets when it joins."""
        status, body = await self.call("POST", "/cluster/register", json=registration())
        assert status == 200, body
        return str(body["redis_url"])

    async def call(
        self, method: str, path: str, *, secret: str = TOKEN, master: AirnodeProcess | None = None, **kwargs: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return the (status, body) of a request to a master, after the check against its OpenAPI document."""
        url = (master or self.master)["api_url"]
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        contract = await Contract.of(url, self.session)
        async with self.session.request(method, url + path, headers=headers, **kwargs) as response:
            body = await response.json(content_type=None)
            contract.check(method, response.url.path, response.status, response.content_type, body)
            return response.status, body

    async def listed(self, master: AirnodeProcess | None = None) -> dict[str, dict[str, Any]]:
        """Return {node name: its entry in ``GET /cluster/nodes``}."""
        status, body = await self.call("GET", "/cluster/nodes", master=master)
        assert status == 200, body
        return {node["node_name"]: node for node in body["nodes"]}

    async def until(self, name: str, status: str, within_s: float = 15.0) -> dict[str, Any]:
        """Wait until a node is listed with this status, and return its entry."""

        async def found() -> dict[str, Any] | None:
            node = (await self.listed()).get(name)
            return node if node is not None and node["status"] == status else None

        node = await eventually(found, within_s, f"{name} is {status}")
        assert node is not None
        return node

    async def student(
        self, user_id: str, master: AirnodeProcess | None = None, *, token: str = "", **fields: str
    ) -> tuple[int, dict[str, Any]]:
        """Return the (status, body) of a request for a place; ``token``: the present token, for another place."""
        asked = master or self.master
        body = {"user_type": "student", "user_id": user_id, "code": asked["class_code"], **fields}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.post(f"{asked['api_url']}/api/token", json=body, headers=headers) as response:
            return response.status, await response.json()

    async def close(self) -> None:
        await asyncio.gather(*(node.close() for node in reversed(self.nodes)))


def registration(**fields: Any) -> dict[str, Any]:
    """Return the body with which a slave joins."""
    return {
        "node_id": "",
        "node_name": "by-hand",
        "media_port": 8888,
        "rtmp_port": 1935,
        "max_connections": 150,
        "version": "0",
        **fields,
    }


def beat(node_id: str, *, at: float, seen: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """Return the body of a heartbeat over HTTP, for a simulated node."""
    record = {
        "node_id": node_id,
        "node_name": node_id,
        "status": "healthy",
        "host": "",
        "scheme": "http",
        "media_port": 8888,
        "rtmp_port": 1935,
        "current_connections": 0,
        "max_connections": 150,
        "version": "0",
        "beat_at": at,
        **fields,
    }
    return {"record": record, "seen": list(seen)}
