"""A client of the API for transcripts."""

import io
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually


class TranscriptClient:
    """Uploads audio and waits for transcripts, with one credential."""

    def __init__(self, node: AirnodeProcess, session: aiohttp.ClientSession, token: str | None = None) -> None:
        self.node = node
        self.session = session
        self.token = node["teacher_secret"] if token is None else token

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON body."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= kwargs.pop("headers", {})
        url = self.node["api_url"] + path
        async with self.session.request(method, url, headers=headers, **kwargs) as response:
            return response.status, await response.json(content_type=None)

    async def text(self, path: str) -> tuple[int, str, str]:
        """Return the status, the media type and the text of an answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.get(self.node["api_url"] + path, headers=headers) as response:
            return response.status, response.content_type, await response.text()

    async def upload(
        self,
        audio: Path | bytes,
        path: str = "/api/transcribe",
        *,
        name: str = "",
        field: str = "audio",
        headers: dict[str, str] | None = None,
        **fields: str,
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer to an upload; fields are those of the form, ``async_`` is ``async``."""
        form = aiohttp.FormData()
        for key, value in fields.items():
            form.add_field(key.rstrip("_"), value)
        data = audio.read_bytes() if isinstance(audio, Path) else audio
        form.add_field(field, io.BytesIO(data), filename=name or (audio.name if isinstance(audio, Path) else "a.wav"))
        return await self.call("POST", path, data=form, headers=headers or {})

    async def taken(self, audio: Path | bytes, **fields: str) -> str:
        """Upload, and return the job's id."""
        status, body = await self.upload(audio, **fields)
        assert status == 200, body
        assert body["success"] is True
        return str(body["jobId"])

    async def status(self, job_id: str) -> dict[str, Any]:
        status, body = await self.call("GET", f"/api/status/{job_id}")
        assert status == 200, body
        return body

    async def until(self, job_id: str, *states: str, within_s: float = 60) -> dict[str, Any]:
        """Return the status when it is one of these; without any: when it has ended."""
        wanted = states or ("completed", "failed", "cancelled")

        async def there() -> dict[str, Any] | None:
            found = await self.status(job_id)
            return found if found["status"] in wanted else None

        found = await eventually(there, within_s, f"{job_id} is {wanted}")
        assert found is not None
        return found
