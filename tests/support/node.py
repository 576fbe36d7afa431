"""airnode as its users run it: a process with a data directory, found through endpoints.json."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tests.support.waiting import eventually

#: Time between two signals. If both arrive before the node handles them, they count as one: the node then drains, which
#: takes half a second longer.
_NOTICED_S = 0.1


class AirnodeProcess:
    """One airnode on loopback with free ports, and its first class.

    Args:
        command: words before its command; the pid must stay that of airnode. host: the address that it binds.
    """

    room = "stream"

    def __init__(
        self,
        data_dir: Path,
        *args: str,
        role: str = "standalone",
        env: dict[str, str] | None = None,
        command: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.data_dir = data_dir
        self.args = args
        self.role = role
        self.command = command
        self.host = host
        self.env = env or {}
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        self.endpoints: dict[str, object] = {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def __getitem__(self, name: str) -> str:
        return str(self.endpoints[name])

    async def launch(self) -> None:
        """Start the process; returns at once."""
        command = [
            *self.command,
            sys.executable,
            "-m",
            "airnode",
            "--role",
            self.role,
            "--data-dir",
            str(self.data_dir),
        ]
        command += ["--host", self.host, "--set", "embedded.redis_port=0", "--set", "embedded.postgres_port=0"]
        for port in ("--port", "--media-port", "--rtmp-port"):
            if port not in self.args:
                command += [port, "0"]
        env = {key: value for key, value in os.environ.items() if not key.startswith("AIRNODE_")}
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, *self.args, stdout=log, stderr=log, env={**env, **self.env}
            )

    async def start(self, within_s: float = 50.0) -> "AirnodeProcess":
        """Start it, wait until it is ready, and return it."""
        await self.launch()
        await self.ready(within_s)
        return self

    async def ready(self, within_s: float = 50.0) -> None:
        path = self.data_dir / "endpoints.json"

        def found() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, (
                f"airnode ended with {self._process.returncode}:\n{self.log[-4000:]}"
            )
            if not path.exists():
                return False
            self.endpoints = json.loads(path.read_text())
            return self.endpoints["pid"] == self._process.pid

        await eventually(found, within_s, "airnode is ready")

    async def wait(self, within_s: float = 30.0) -> int:
        assert self._process is not None
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    async def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self.wait()

    def pause(self) -> None:
        """Send SIGSTOP: it sends nothing more, but its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Send SIGKILL, as a power failure would end it."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Send SIGKILL, if it runs."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def close(self) -> None:
        """End it in any case. The second SIGTERM skips the drain."""
        for within_s in (_NOTICED_S, 25.0):
            if self._process is not None and self._process.returncode is None:
                self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    await self.wait(within_s)
        await self.end()


class Classroom:
    """A class for one test on a node that several tests share.

    Tests use it like a node with this as its first class: it has the endpoints of the class, and its log begins
    with the class.
    """

    def __init__(self, node: AirnodeProcess, room: str, endpoints: dict[str, object]) -> None:
        self.room = room
        self._node = node
        self._endpoints = {**node.endpoints, **endpoints}
        self._log_begins = len(node.log)

    @classmethod
    async def open(cls, node: AirnodeProcess, session: aiohttp.ClientSession) -> "Classroom":
        headers = {"Authorization": f"Bearer {node['teacher_secret']}"}
        url = f"{node['api_url']}/api/classes"
        async with session.post(url, headers=headers, json={"title": "A class of its own"}) as response:
            assert response.status == 201, await response.text()
            made = await response.json()
        found = cls(node, made["room"], {"class_code": made["class_code"]})
        teacher = await Api(found, session).teacher()
        found._endpoints |= {
            "class_url": teacher["class_url"],
            "stream_key": teacher["stream_key"],
            "rtmp_url": f"{node['rtmp_server']}/{teacher['stream_key']}",
        }
        return found

    @property
    def log(self) -> str:
        return self._node.log[self._log_begins :]

    def __getitem__(self, name: str) -> str:
        return str(self._endpoints[name])


class Api:
    """The HTTP API of a node, or of a class on it, as a program uses it."""

    def __init__(self, node: AirnodeProcess | Classroom, session: aiohttp.ClientSession) -> None:
        self.node = node
        self.session = session

    async def token(self, **fields: str) -> tuple[int, dict]:
        async with self.session.post(f"{self.node['api_url']}/api/token", json=fields) as response:
            return response.status, await response.json()

    async def student(self, user_id: str = "mina") -> dict:
        status, body = await self.token(user_type="student", user_id=user_id, code=self.node["class_code"])
        assert status == 200, body
        return body

    async def teacher(self, user_id: str = "teacher") -> dict:
        status, body = await self.token(
            user_type="teacher", user_id=user_id, secret=self.node["teacher_secret"], room=self.node.room
        )
        assert status == 200, body
        return body

    async def room(self, token: str, room: str = "") -> dict:
        async with self.session.get(
            f"{self.node['api_url']}/api/rooms/{room or self.node.room}", headers={"Authorization": f"Bearer {token}"}
        ) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def get(self, url: str, **kwargs) -> tuple[int, dict, bytes]:
        async with self.session.get(url, **kwargs) as response:
            return response.status, dict(response.headers), await response.read()
