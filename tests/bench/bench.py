"""The parts that all scenarios share: options, fresh nodes, publishers and the load generator."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from rich.console import Console

from airnode.web.tokens import Tokens
from tests.bench.meters import ProcessMeter, gauges
from tests.bench.report import Report
from tests.bench.source import loop_publisher
from tests.support.ffmpeg import Publisher
from tests.support.node import AirnodeProcess, Api
from tests.support.waiting import eventually


@dataclass
class Bench:
    """One run of the benchmark. ``seconds``: how long each figure is measured."""

    seconds: float
    soak_minutes: float
    clip: Path
    work: Path
    report: Report
    console: Console
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def progress(self, text: str) -> None:
        """Print progress on standard error."""
        self.console.print(f"  {text}", highlight=False)

    def data_dir(self) -> Path:
        """Return the path of a data directory that does not exist yet."""
        return self.work / f"node{next(self._count)}"

    @asynccontextmanager
    async def node(self, *args: str) -> AsyncIterator["Running"]:
        """Yield a fresh standalone node that is ready."""
        process = AirnodeProcess(self.data_dir(), *args)
        try:
            await process.start(60)
            async with aiohttp.ClientSession() as session:
                yield Running(process, Api(process, session))
        finally:
            await process.close()

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[Publisher]:
        """Yield ffmpeg, which publishes the clip in an endless loop."""
        publisher = await loop_publisher(url, self.clip).start()
        try:
            yield publisher
        finally:
            await publisher.kill()


class Running:
    """A node under measurement."""

    def __init__(self, process: AirnodeProcess, api: Api) -> None:
        self.process = process
        self.api = api
        self.meter = ProcessMeter(process.pid)
        self._teacher_token = ""

    @property
    def media(self) -> tuple[str, int]:
        """Return host and port of the media listener. The host is an IP address, so that no name is resolved."""
        port = urlsplit(self.process["media_url"]).port
        assert port is not None
        return "127.0.0.1", port

    def tokens(self, count: int, room: str = "stream") -> list[str]:
        """Return student tokens with different sessions, signed with the node's key."""
        secret = json.loads((self.process.data_dir / "secrets.json").read_text())["jwt_secret"]
        signer = Tokens(secret, 14_400)
        return [signer.issue(f"bench-{index}", "student", room)[0] for index in range(count)]

    def entries(self, count: int, room: str = "stream") -> list[str]:
        """Return the paths with which ``count`` students enter a room."""
        return [f"/live/{room}/index.m3u8?jwt={token}" for token in self.tokens(count, room)]

    async def metrics(self) -> dict[str, float]:
        return await gauges(self.process["api_url"])

    async def live(self, rooms: int = 1) -> None:
        """Wait until ``rooms`` rooms have a publisher."""

        async def enough() -> bool:
            return await self._live_rooms() >= rooms

        await eventually(enough, 30, f"{rooms} rooms are live")

    async def _token(self) -> str:
        """Return a teacher's token. It is requested only once: a full node issues none."""
        self._teacher_token = self._teacher_token or (await self.api.teacher())["token"]
        return self._teacher_token

    async def _live_rooms(self) -> int:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        async with self.api.session.get(f"{self.process['api_url']}/api/classes", headers=headers) as response:
            return sum(each["state"] == "live" for each in (await response.json())["classes"])

    async def add_classes(self, count: int) -> list[str]:
        """Create classes and return the RTMP address of each."""
        secret, url = self.process["teacher_secret"], self.process["api_url"]
        found = []
        for index in range(count):
            headers = {"Authorization": f"Bearer {secret}"}
            body = {"title": f"Bench {index}", "room": f"bench{index}"}
            async with self.api.session.post(f"{url}/api/classes", json=body, headers=headers) as response:
                assert response.status == 201, await response.text()
            status, grant = await self.api.token(
                user_type="teacher", user_id="bench", secret=secret, room=f"bench{index}"
            )
            assert status == 200, grant
            found.append(str(grant["rtmp_url"]))
        return found

    async def viewers(self, room: str = "stream") -> int:
        """Return the number of viewers that the pages show."""
        return int((await self.api.room(await self._token(), room))["viewers"])


class LoadGenerator:
    """The process of the load generator; see :mod:`tests.bench.loadgen`."""

    def __init__(self, **orders: Any) -> None:
        self._orders = orders
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "LoadGenerator":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.loadgen",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._orders).encode() + b"\n")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def message(self, within_s: float) -> dict[str, Any]:
        """Return the generator's next message."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended early")
        found: dict[str, Any] = json.loads(line)
        return found
