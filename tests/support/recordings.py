"""Recordings as people use them: through the API, with ffmpeg as the player."""

import asyncio
import json
import subprocess
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually


class Recordings:
    """One room's recordings, as the owner of a token sees them.

    Args:
        api: the node that gets API requests. media: the node that serves playback.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api: AirnodeProcess,
        media: AirnodeProcess,
        token: str,
        room: str = "stream",
    ) -> None:
        self.session = session
        self.api = api
        self.media = media
        self.token = token
        self.room = room

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.api['api_url']}/api/classes/{self.room}{path}"
        async with self.session.request(method, url, headers=headers, **kwargs) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else None

    async def all(self) -> list[dict[str, Any]]:
        status, body = await self.call("GET", "/recordings")
        assert status == 200, body
        return body["recordings"]

    async def until(self, within_s: float = 30.0, **fields: Any) -> dict[str, Any]:
        """Wait until the newest recording has these fields, and return it; ``duration_s`` is a minimum."""

        async def found() -> dict[str, Any] | None:
            for each in (await self.all())[:1]:
                wanted = {key: value for key, value in fields.items() if key != "duration_s"}
                if each.items() >= wanted.items() and each["duration_s"] >= fields.get("duration_s", 0):
                    return each
            return None

        recording = await eventually(found, within_s, f"a recording with {fields}")
        assert recording is not None
        return recording

    async def switch(self, on: bool) -> tuple[int, dict[str, Any]]:
        return await self.call("POST", "/recording", json={"recording": on})

    async def remove(self, recording_id: str, **params: str) -> tuple[int, Any]:
        return await self.call("DELETE", f"/recordings/{recording_id}", params=params)

    def url(self, relative: str) -> str:
        return f"{self.media['media_url']}/v/{self.token}/{self.room}/{relative}"

    async def get(self, relative: str, **headers: str) -> tuple[int, "CIMultiDictProxy[str]", bytes]:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.session.get(self.url(relative), headers=named) as response:
            return response.status, response.headers, await response.read()


async def decoded(source: str | bytes, kind: str = "v") -> tuple[int, str]:
    """Return (number of frames that ffmpeg decodes from a URL or from bytes, its error output)."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg",
        "-v",
        "warning",
        "-nostdin",
        "-i",
        source if isinstance(source, str) else "pipe:0",
        "-map",
        f"0:{kind}",
        "-f",
        "framecrc",
        "-",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate(source if isinstance(source, bytes) else None)
    return sum(line.startswith(b"0,") for line in output.splitlines()), errors.decode()


async def probed(source: str) -> dict[str, Any]:
    """Return the output of ffprobe for a URL or a path."""
    process = await asyncio.create_subprocess_exec(
        "ffprobe",
        "-v",
        "error",
        "-show_format",
        "-show_streams",
        "-of",
        "json",
        source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert not errors, errors
    found: dict[str, Any] = json.loads(output)
    return found
