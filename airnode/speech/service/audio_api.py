"""Serves the audio of uploads to workers on other machines, whole or in ranges (RFC 9110 section 14)."""

from aiohttp import web

from airnode.errors import NotFound
from airnode.speech.service.access import SPEECH_TOKEN
from airnode.speech.service.piece_source import audio_path
from airnode.speech.service.upload_files import TRANSCRIPT_ID, UploadFiles
from airnode.web.credentials import Authorizer
from airnode.web.openapi import operation


class AudioApi:
    """The handler. It wants the speech token."""

    def __init__(self, authorizer: Authorizer, files: UploadFiles) -> None:
        self._authorizer = authorizer
        self._files = files

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(audio_path("{transcript_id}"), self.audio)

    @operation(
        summary="The audio of an upload",
        tag="transcripts",
        description="For workers: 16-bit samples, 16 kHz, mono, in byte ranges; with `file=1` the file as it came.",
        returns="application/octet-stream",
        errors=(401, 403, 404, 429),
        auth="speech",
        path_params=(("transcript_id", "As in the job."),),
    )
    async def audio(self, request: web.Request) -> web.StreamResponse:
        """Return the samples, or the file."""
        self._authorizer.require(request, SPEECH_TOKEN)
        transcript_id = request.match_info["transcript_id"]
        if not TRANSCRIPT_ID.match(transcript_id):
            raise NotFound
        wants_file = request.query.get("file") == "1"
        path = self._files.upload(transcript_id) if wants_file else self._files.pcm(transcript_id)
        if not path.is_file():
            raise NotFound("The audio of this transcript is not here.")
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream", "Cache-Control": "no-store"})
