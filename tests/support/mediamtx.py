"""The fake of MediaMTX for tests: a program to start, a publisher, and its records."""

import asyncio
import json
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.waiting import eventually


def make_program(directory: Path, version: str = "v1.20.1") -> Path:
    """Return a ``mediamtx`` program that airnode can start."""
    program = directory / "mediamtx"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nos.environ['FAKE_VERSION'] = {version!r}\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.support.mediamtx_fake import main\nmain()\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program


class FakePublisher:
    """An encoder: requests a publish of the fake, then sends a clip with ffmpeg, at its own pace.

    Args:
        api: URL of the fake's API. path, fields: the values that a real one would send by SRT, RTSP or WHIP.
    """

    def __init__(self, api: str, path: str, *, protocol: str = "srt", **fields: Any) -> None:
        self.api = api
        self.request = {"path": path, "protocol": protocol, "tracks": ["H264", "MPEG-4 Audio"], **fields}
        self._process: asyncio.subprocess.Process | None = None

    async def request_publish(self) -> tuple[int, dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.api}/fake/publish", json=self.request) as answer,
        ):
            return answer.status, await answer.json()

    async def start(self, clip: Path) -> "FakePublisher":
        status, body = await self.request_publish()
        assert status == 200, body
        fragments = (
            "-c",
            "copy",
            "-f",
            "mp4",
            "-movflags",
            "frag_keyframe+empty_moov+default_base_moof",
            "-frag_duration",
            "200000",
            "-flush_packets",
            "1",
            "-method",
            "PUT",
        )
        to = f"{self.api}/fake/ingest/{body['id']}"
        self._process = await asyncio.create_subprocess_exec(
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            str(clip),
            "-map",
            "0:v",
            *fragments,
            f"{to}/video",
            "-map",
            "0:a",
            *fragments,
            f"{to}/audio",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return self

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def ended(self, within_s: float = 20.0) -> None:
        """Wait until the fake ended the publisher."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            await self._process.wait()


class ExternalMediaMtx:
    """A MediaMTX that airnode did not start. By default, local clients may do everything."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "external.yml"
        self._process: asyncio.subprocess.Process | None = None
        with socket.socket() as first, socket.socket() as second:
            for sock in (first, second):
                sock.bind(("127.0.0.1", 0))
            ports = [sock.getsockname()[1] for sock in (first, second)]
        self.api = f"http://127.0.0.1:{ports[0]}"
        self._file.write_text(
            yaml.safe_dump(
                {
                    "api": True,
                    "apiAddress": f":{ports[0]}",
                    "hlsAddress": f"127.0.0.1:{ports[1]}",
                    "moq": False,
                }
            )
        )

    async def start(self) -> "ExternalMediaMtx":
        program = make_program(self._file.parent)
        self._process = await asyncio.create_subprocess_exec(str(program), str(self._file), stdout=subprocess.DEVNULL)

        async def answers() -> bool:
            try:
                return "config" in await report(self.api)
            except aiohttp.ClientError:
                return False

        await eventually(answers, 20, "the fake listens")
        return self

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def written(data_dir: Path) -> dict[str, Any]:
    """Return the configuration that airnode wrote last."""
    found: dict[str, Any] = yaml.safe_load((data_dir / "mediamtx" / "mediamtx.yml").read_text())
    return found


async def report(api: str) -> dict[str, Any]:
    """Return the HLS requests and the hook requests of the fake."""
    async with aiohttp.ClientSession() as session, session.get(f"{api}/fake/report") as answer:
        found: dict[str, Any] = json.loads(await answer.text())
        return found
