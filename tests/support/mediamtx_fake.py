"""A fake of MediaMTX, because no package contains the real one: HLS, API and hook as in its source and documentation.

It runs as a process (``mediamtx mediamtx.yml``), reads the file that airnode writes, and behaves like MediaMTX 1.20.1
as far as airnode uses it, or like the version in ``FAKE_VERSION``. MoQ is on by default since 1.19, on separate ports
at all addresses; keys that the version does not know are refused, in the file and by the API; before 1.20.1 the API is
excluded from authorization by default. The HTTP hook authorizes each client; HLS answers 302 with ``cookieCheck`` and
then requires a session of the same address, unless the request has the CDN secret; each track is a rendition with seven
gap segments first, parts of the last two segments, a preload hint, blocking reloads, 400 for an item out of range, and
names that change with each publisher.

It has no SRT, RTSP and WebRTC: publishers connect over HTTP (:class:`FakePublisher`), as fragmented MP4
that ffmpeg makes, one upload a track; ffmpeg's fragments are the parts.
"""

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from struct import unpack_from
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from tests.support.mediamtx_muxer import Muxer

COLLECTIONS = {
    "rtsp": ("rtspSession", "rtspsessions"),
    "srt": ("srtConn", "srtconns"),
    "webrtc": ("webRTCSession", "webrtcsessions"),
    "rtmp": ("rtmpConn", "rtmpconns"),
    "rtmps": ("rtmpsConn", "rtmpsconns"),
    "rtsps": ("rtspsSession", "rtspssessions"),
    "moq": ("moqSession", "moqsessions"),
}
#: What ``mediamtx --version`` prints; a program of the test may set another one.
VERSION = os.environ.get("FAKE_VERSION", "v1.20.1")
RELEASE = tuple(int(number) for number in VERSION.removeprefix("v").split("."))
MOQ_DEFAULTS = {"moq": True, "moqHTTP2Address": ":8892", "moqHTTP3Address": ":8892", "moqQUICAddress": ":8893"}
API_EXCLUDED = [{"action": "api"}, {"action": "metrics"}, {"action": "pprof"}]
DEFAULTS: dict[str, Any] = {
    "logLevel": "info",
    "logDestinations": ["stdout"],
    "authMethod": "internal",
    "authHTTPAddress": "",
    "authHTTPExclude": [] if RELEASE >= (1, 20, 1) else API_EXCLUDED,
    "api": False,
    "apiAddress": ":9997",
    "metrics": False,
    "pprof": False,
    "playback": False,
    "rtsp": True,
    "rtspTransports": ["udp", "multicast", "tcp"],
    "rtspAddress": ":8554",
    "rtmp": True,
    "rtmpAddress": ":1935",
    "hls": True,
    "hlsAddress": ":8888",
    "hlsAlwaysRemux": False,
    "hlsVariant": "lowLatency",
    "hlsSegmentCount": 7,
    "hlsSegmentDuration": "1s",
    "hlsPartDuration": "200ms",
    "hlsSegmentMaxSize": "50M",
    "hlsCDNSecret": "",
    "webrtc": True,
    "webrtcAddress": ":8889",
    "webrtcEncryption": False,
    "webrtcServerKey": "server.key",
    "webrtcServerCert": "server.crt",
    "webrtcTrustedProxies": [],
    "webrtcLocalUDPAddress": ":8189",
    "webrtcAdditionalHosts": [],
    "srt": True,
    "srtAddress": ":8890",
    **(MOQ_DEFAULTS if RELEASE >= (1, 19) else {}),
}


def load_config(text: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration with its defaults and the variables that this version knows.

    Raises:
        SystemExit: this version does not know a key of the file.
    """
    given = yaml.safe_load(text)
    unknown = set(given) - set(DEFAULTS) - {"pathDefaults", "paths"}
    if unknown:
        raise SystemExit(f"ERR: json: unknown field {sorted(unknown)[0]!r}")
    config = {**DEFAULTS, **given}
    if "moq" in config and "MTX_MOQ" in environment:
        config["moq"] = environment["MTX_MOQ"] in ("yes", "true")
    return config


class PublishedPath:
    """A path with a publisher."""

    def __init__(self, name: str, protocol: str, tracks: list[str], segment_s: float) -> None:
        self.name = name
        self.protocol = protocol
        self.id = secrets.token_hex(8)
        self.tracks = tracks
        prefix = secrets.token_hex(6)
        video = Muxer("video", prefix, segment_s, None)
        self.muxers = {"video": video, "audio": Muxer("audio", prefix, segment_s, video)}
        self.uploads: set[asyncio.Task[Any]] = set()
        self.ended = asyncio.Event()

    @property
    def ready(self) -> bool:
        return all(muxer.init for muxer in self.muxers.values())

    @property
    def received_bytes(self) -> int:
        return sum(len(part) for each in self.muxers.values() for part in each.parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "confName": "~^live/[^/]+$",
            "ready": self.ready,
            "readyTime": None,
            "source": {"type": COLLECTIONS[self.protocol][0], "id": self.id},
            "tracks": self.tracks,
            "bytesReceived": self.received_bytes,
            "bytesSent": 0,
            **({"inboundBytes": self.received_bytes, "outboundBytes": 0} if RELEASE >= (1, 19) else {}),
            "readers": [],
        }


class FakeMediaMtx:
    """The whole server.

    Attributes:
        auth_requests: the requests to the hook.
        hls_requests: the HLS requests, as (path, query, authorization).
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        #: {path: publisher}
        self.paths: dict[str, PublishedPath] = {}
        #: {session: address}
        self.sessions: dict[str, str] = {}
        self.auth_requests: list[dict[str, Any]] = []
        self.hls_requests: list[tuple[str, str, str]] = []

    async def allowed(self, request: web.Request, action: str, **fields: str) -> str:
        """Return the reason of a refusal, or an empty string (``authMethod: http``)."""
        if any(each.get("action") == action for each in self.config["authHTTPExclude"]):
            return ""
        if self.config.get("authMethod") != "http":
            return "" if request.remote == "127.0.0.1" else "not local"
        header = request.headers.get("Authorization", "")
        basic = base64.b64decode(header.removeprefix("Basic ")).decode() if header.startswith("Basic ") else ":"
        user, _, password = basic.partition(":")
        body = {
            "user": user,
            "password": password,
            "token": header.removeprefix("Bearer ") if header.startswith("Bearer ") else "",
            "ip": request.remote,
            "action": action,
            "path": "",
            "protocol": "",
            "id": None,
            "query": request.query_string,
            **fields,
        }
        body["id"] = secrets.token_hex(4) if action == "publish" else ""
        self.auth_requests.append(body)
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(self.config["authHTTPAddress"], json=body, timeout=aiohttp.ClientTimeout(10)) as answer,
            ):
                text = await answer.text()
                return (
                    "" if str(answer.status).startswith("20") else f"server replied with code {answer.status}: {text}"
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"the hook does not answer: {error!r}"

    # -- API -----------------------------------------------------------------------------------------------------------

    async def api(self, request: web.Request) -> web.Response:
        if refusal := await self.allowed(request, "api"):
            return web.json_response({"error": refusal}, status=401)
        match request.method, request.match_info["what"].split("/"):
            case "GET", ["paths", "list"]:
                size, page = int(request.query.get("itemsPerPage", "100")), int(request.query.get("page", "0"))
                items = [path.to_json() for path in self.paths.values()]
                pages = max(1, -(-len(items) // size))
                return web.json_response(
                    {"itemCount": len(items), "pageCount": pages, "items": items[page * size : (page + 1) * size]}
                )
            case "GET", ["config", "global", "get"]:
                return web.json_response({key: value for key, value in self.config.items() if key != "paths"})
            case "PATCH", ["config", "global", "patch"]:
                changes = await request.json()
                if unknown := set(changes) - set(DEFAULTS):
                    return web.json_response({"error": f"json: unknown field {sorted(unknown)[0]!r}"}, status=400)
                self.config |= changes
                return web.json_response({"status": "ok"})
            case "POST", [collection, "kick", identity]:
                for path in self.paths.values():
                    if path.id == identity and COLLECTIONS[path.protocol][1] == collection:
                        self.end(path)
                        return web.json_response({"status": "ok"})
        return web.json_response({"error": "not found"}, status=404)

    # -- publishers ----------------------------------------------------------------------------------------------------

    async def publish(self, request: web.Request) -> web.Response:
        body = await request.json()
        protocol, tracks = body.pop("protocol"), body.pop("tracks")
        fields = {"user": "", "password": "", "token": "", "query": "", "ip": "127.0.0.1", **body}
        if refusal := await self.allowed(request, "publish", protocol=protocol, **fields):
            return web.json_response({"error": refusal}, status=401)
        before = self.paths.get(body["path"])
        if before is not None:
            self.end(before)  # overridePublisher
        segment_s = float(self.config["hlsSegmentDuration"].removesuffix("s"))
        path = self.paths[body["path"]] = PublishedPath(body["path"], protocol, tracks, segment_s)
        return web.json_response({"id": path.id})

    async def upload(self, request: web.Request) -> web.Response:
        path = next(each for each in self.paths.values() if each.id == request.match_info["id"])
        muxer = path.muxers[request.match_info["kind"]]
        task = asyncio.current_task()
        assert task is not None
        path.uploads.add(task)
        try:
            boxes: list[bytes] = []
            async for box in whole_boxes(request.content):
                boxes.append(box)
                if box[4:8] == b"moov":
                    muxer.begin(b"".join(boxes))
                elif box[4:8] == b"mdat":
                    muxer.add(b"".join(each for each in boxes if each[4:8] in (b"moof", b"mdat")))
                if box[4:8] in (b"moov", b"mdat"):
                    boxes = []
        finally:
            path.uploads.discard(task)
            self.end(path)
        return web.Response()

    def end(self, path: PublishedPath) -> None:
        if self.paths.get(path.name) is path:
            del self.paths[path.name]
        path.ended.set()
        for muxer in path.muxers.values():
            muxer.wake()
        for task in path.uploads - {asyncio.current_task()}:
            task.cancel()

    # -- HLS -----------------------------------------------------------------------------------------------------------

    async def hls(self, request: web.Request) -> web.StreamResponse:
        name, _, file = request.match_info["rest"].rpartition("/")
        self.hls_requests.append((request.path, request.query_string, request.headers.get("Authorization", "")))
        cdn = request.headers.get("Authorization") == f"Bearer {self.config.get('hlsCDNSecret') or None}"
        suffix = ""
        if not cdn:
            if file == "index.m3u8" and "session" not in request.query:
                if "cookieCheck" not in request.query:
                    return web.Response(status=302, headers={"Location": "index.m3u8?cookieCheck=1"})
                if await self.allowed(request, "read", path=name, protocol="hls"):
                    return web.Response(status=401)
                session = secrets.token_hex(16)
                self.sessions[session] = str(request.remote)
                suffix = f"?session={session}"
            else:
                session = request.query.get("session", "")
                if self.sessions.get(session) != request.remote:
                    return web.Response(status=401)
                suffix = f"?session={session}"
        path = self.paths.get(name)
        if path is None or not all(muxer.ready for muxer in path.muxers.values()):
            return web.Response(status=404)
        if file == "index.m3u8":
            return web.Response(text=multivariant(path, suffix), content_type="application/vnd.apple.mpegurl")
        for muxer in path.muxers.values():
            if file == f"{muxer.name}_stream.m3u8":
                return await self.media(request, path, muxer, suffix)
            if file.startswith(muxer.prefix):
                return await self.object(path, muxer, file.removeprefix(muxer.prefix + "_").removesuffix(".mp4"))
        return web.Response(status=404)

    async def media(self, request: web.Request, path: PublishedPath, muxer: Muxer, suffix: str) -> web.Response:
        if "_HLS_msn" in request.query:
            msn = int(request.query["_HLS_msn"])
            part = int(request.query["_HLS_part"]) if "_HLS_part" in request.query else None
            while not (answer := muxer.has(msn, part)):
                if answer is None:
                    return web.Response(status=400)
                if path.ended.is_set():
                    return web.Response(status=404)
                await muxer.changed.wait()
        return web.Response(text=muxer.playlist(suffix), content_type="application/vnd.apple.mpegurl")

    async def object(self, path: PublishedPath, muxer: Muxer, what: str) -> web.Response:
        if what == "init":
            return web.Response(body=muxer.init, content_type="video/mp4")
        if what.startswith("seg") and (number := int(what[3:])) < len(muxer.segments):
            parts = muxer.segments[number] or []
            return web.Response(body=b"".join(muxer.parts[part[1]] for part in parts), content_type="video/mp4")
        if what.startswith("part") and (number := int(what[4:])) <= len(muxer.parts):
            while number == len(muxer.parts):
                if path.ended.is_set():
                    return web.Response(status=404)
                await muxer.changed.wait()
            return web.Response(body=muxer.parts[number], content_type="video/mp4")
        return web.Response(status=404)

    # -- for the tests ------------------------------------------------------------------------------------------------

    async def report(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"auth_requests": self.auth_requests, "hls_requests": self.hls_requests, "config": self.config}
        )


def multivariant(path: PublishedPath, suffix: str) -> str:
    video, audio = path.muxers["video"], path.muxers["audio"]
    return "\n".join(
        (
            "#EXTM3U",
            "#EXT-X-VERSION:10",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "",
            '#EXT-X-MEDIA:TYPE="AUDIO",GROUP-ID="audio",NAME="audio2",AUTOSELECT=YES,DEFAULT=YES,'
            f'URI="{audio.name}_stream.m3u8{suffix}"',
            "",
            f'#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="{video.codec},{audio.codec}",AUDIO="audio"',
            f"{video.name}_stream.m3u8{suffix}",
            "",
        )
    )


async def whole_boxes(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for data in content.iter_any():
        buffer += data
        while len(buffer) >= 8 and len(buffer) >= (size := unpack_from(">I", buffer)[0]):
            yield bytes(buffer[:size])
            del buffer[:size]


async def serve(path: Path) -> None:
    """Run the server, as ``mediamtx mediamtx.yml`` does."""
    fake = FakeMediaMtx(load_config(path.read_text(), os.environ))
    api = web.Application()
    api.router.add_route("*", "/v3/{what:.*}", fake.api)
    api.router.add_post("/fake/publish", fake.publish)
    api.router.add_put("/fake/ingest/{id}/{kind}", fake.upload)
    api.router.add_get("/fake/report", fake.report)
    hls = web.Application()
    hls.router.add_get("/{rest:.+}", fake.hls)
    for app, address in ((api, fake.config["apiAddress"]), (hls, fake.config["hlsAddress"])):
        host, _, port = address.rpartition(":")
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host or None, int(port)).start()
    if fake.config.get("moq"):
        host, _, port = fake.config["moqHTTP2Address"].rpartition(":")
        await asyncio.start_server(lambda _, writer: writer.close(), host or None, int(port))
    print("MediaMTX (a fake) is listening", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print(VERSION)
        return
    asyncio.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
