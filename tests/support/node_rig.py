"""A node of small services, in the process of the test."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import SecretStr

from airnode.config.model import Settings
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.drain import DrainSection
from airnode.config.sections.http import HttpSection
from airnode.config.sections.media import MediaSection
from airnode.config.sections.node import NodeSection
from airnode.kernel.service import Service
from airnode.runtime.context import RoleContext
from airnode.runtime.node import Node, Phase
from airnode.runtime.role import Ordered, Role, RoleParts
from airnode.web.addresses import PortName
from tests.support.waiting import eventually


class Part(Service):
    """Records the calls of its methods."""

    def __init__(self, name: str, events: list[str], **doing: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.name = name
        self.events = events
        self.doing = doing

    async def _do(self, step: str) -> None:
        self.events.append(f"{step} {self.name}")
        if step in self.doing:
            await self.doing[step]()

    async def start(self) -> None:
        await self._do("start")

    async def drain(self) -> None:
        await self._do("drain")

    async def stop(self) -> None:
        await self._do("stop")


class Rig:
    """Builds one node, and records what its services did."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.events: list[str] = []
        self.ready: list[dict] = []

    def part(self, name: str, **doing: Callable[[], Awaitable[None]]) -> Part:
        return Part(name, self.events, **doing)

    def settings(self, **drain: float) -> Settings:
        return Settings(
            node=NodeSection(data_dir=self.data_dir),
            http=HttpSection(host="127.0.0.1", port=0),
            media=MediaSection(port=0),
            auth=AuthSection(jwt_secret=SecretStr("k" * 40)),
            drain=DrainSection(**{"delay_s": 0, "timeout_s": 2, "deadline_s": 10, **drain}),
        )

    def node(self, *services: Service | Ordered, settings: Settings | None = None, **parts) -> Node:
        return self.node_of(lambda ctx: RoleParts(services=services, **parts), settings)

    def node_of(self, build: Callable[[RoleContext], RoleParts], settings: Settings | None = None) -> Node:
        role = Role(name="tiny", summary="for tests", build=build, ports=frozenset({PortName.HTTP}))
        return Node(settings or self.settings(), [role], on_ready=lambda found, _: self.ready.append(dict(found)))

    @property
    def endpoints(self) -> Path:
        return self.data_dir / "endpoints.json"


async def until_ready(node: Node) -> None:
    await eventually(lambda: node.phase is Phase.READY, what="the node is ready")


def ask_to_stop(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise RuntimeError("broken")
