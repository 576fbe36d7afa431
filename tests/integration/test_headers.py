"""Headers, right and wrong: origins, hosts, proxies, pages; and what the log keeps of all that."""

import asyncio
import json
import re

import aiohttp
import pytest

from tests.integration.conftest import Client, Lesson
from tests.support.node import AirnodeProcess, Api
from tests.support.rtmp import RtmpPublisher
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


async def preflight(session: aiohttp.ClientSession, url: str, origin: str) -> dict:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with session.options(url, headers=headers) as response:
        assert response.status == 204
        return dict(response.headers)


async def test_any_origin_may_read_by_default(school: AirnodeProcess, session: aiohttp.ClientSession):
    for base in (school["api_url"], school["media_url"]):
        headers = await preflight(session, base + "/api/token", "https://x.example")
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in headers["Access-Control-Allow-Methods"]
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
        async with session.get(base + "/nothing", headers={"Origin": "https://x.example"}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in response.headers


async def test_only_listed_origins_may_read(open_node: AirnodeProcess, session: aiohttp.ClientSession):
    for base in (open_node["api_url"], open_node["media_url"]):
        good = await preflight(session, base + "/api/token", "https://b.example")
        assert good["Access-Control-Allow-Origin"] == "https://b.example"
        for origin in ("https://c.example", "https://a.example.evil", "null", "https://A.example"):
            headers = await preflight(session, base + "/api/token", origin)
            assert not [name for name in headers if name.startswith("Access-Control")]
            async with session.get(base + "/health", headers={"Origin": origin}) as response:
                assert "Access-Control-Allow-Origin" not in response.headers
                assert response.headers["Vary"] == "Origin"


async def raw(base: str, request: bytes) -> bytes:
    """The whole answer to these bytes."""
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read(1 << 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Host: evil.example/path?x=\r\n",
        b"Host: a b\r\n",
        b'Host: "><script>\r\n',
        b"Host: user@evil.example\r\n",
        b"Host: evil.example#\r\n",
        b"Host: \xff\xfe\r\n",
        b"Host: " + b"a" * 4000 + b"\r\n",
        b"Host: \r\n",
        b"",
        b"Host: a:99999999\r\n",
        b"Host: [::1\r\n",
        b"Host: good.example\r\nX-Forwarded-Host: bad/../host\r\n",
        b"Host: good.example\r\nX-Forwarded-Host: bad host, other\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_junk_host_never_gets_into_an_address(school: AirnodeProcess, head: bytes, version: bytes):
    query = f"user_type=teacher&user_id=a&secret={school['teacher_secret']}".encode()
    request = b"POST /api/token?" + query + b" HTTP/" + version + b"\r\n" + head + b"Connection: close\r\n\r\n"
    answer = await raw(school["api_url"].replace("localhost", "127.0.0.1"), request)
    status = int(answer.split()[1])
    if status == 400:
        return
    assert status == 200, answer
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    expected = "good.example" if b"good" in head else "127.0.0.1"
    assert re.match(rf"http://{re.escape(expected)}:\d+/live/stream/index\.m3u8\?jwt=", body["hls_url"])
    assert re.fullmatch(rf"rtmp://{re.escape(expected)}:\d+/live", body["rtmp_server"])
    assert re.fullmatch(r"http://[A-Za-z0-9.:]+/class/\w+", body["class_url"])


async def test_a_proxy_reports_the_address_that_clients_typed(school: AirnodeProcess, client: Client):
    forwarded = {"X-Forwarded-Host": "live.school.example:8443", "X-Forwarded-Proto": "https"}
    fields = {"user_type": "teacher", "user_id": "t", "secret": school["teacher_secret"]}
    _, _, body = await client.call("POST", "/api/token", json=fields, headers=forwarded)
    assert body["class_url"].startswith("https://live.school.example:8443/class/")
    assert body["hls_url"].split("/")[2].split(":")[0] == "live.school.example"


async def test_pages_carry_their_headers(school: AirnodeProcess, school_api: Api):
    for path in ("/", "/class", "/class/ABCDEF", "/studio", "/api/docs"):
        status, headers, body = await school_api.get(school["api_url"] + path)
        assert status == 200, body
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-cache"
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', body.decode())
        assert assets
        for asset in assets:
            status, headers, _ = await school_api.get(school["api_url"] + asset)
            assert status == 200
            assert "immutable" in headers["Cache-Control"]
            assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/assets/..%2findex.html",
        "/assets/..%5cindex.html",
        "/assets/%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/",
        "/assets",
        "/assets/.",
        "/assets/%00",
        "/assets/index.html",
        "/static/index.html",
        "//etc/passwd",
    ],
)
async def test_nothing_but_assets_in_assets(school: AirnodeProcess, path: str):
    request = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = await raw(school["api_url"].replace("localhost", "127.0.0.1"), request)
    assert answer.split()[1] in (b"404", b"400"), answer
    assert b"root:" not in answer
    assert b"<script" not in answer


async def test_no_secret_gets_into_the_log(school: AirnodeProcess, client: Client, lesson: Lesson, school_api: Api):
    base, media = school["api_url"], school["media_url"]
    for token in (lesson.student, lesson.teacher):
        await client.call("GET", f"/api/rooms/{lesson.room}", token=token)
        await client.call("GET", f"/api/rooms/none?jwt={token}")
        for url in (
            f"{media}/v/{token}/{lesson.room}/index.m3u8",
            f"{media}/live/{lesson.room}/index.m3u8?jwt={token}",
            f"{media}/v/{token}/other/index.m3u8",
            f"{base}/nothing/{token}",
        ):
            await school_api.get(url)
    secret = school["teacher_secret"]
    await raw(base.replace("localhost", "127.0.0.1"), f"GET /{secret} HTTP/1.1\r\n{secret}\r\n\r\n".encode())
    port = int(lesson.rtmp_url.rpartition(":")[2].split("/")[0])
    for name in (lesson.stream_key, f"{lesson.room}?key={lesson.stream_key}", f"other?key={lesson.stream_key}"):
        peer = await RtmpPublisher.connect(port)
        await peer.publish(name)
        await peer.aclose()
    await eventually(lambda: school.log.count("rtmp_connection_ended") >= 3, what="the log has it all")
    logged = [line for line in school.log.splitlines() if line.startswith("{")]
    assert any('"level":"debug"' in line for line in logged)
    kept = json.loads((school.data_dir / "secrets.json").read_text())
    for secret in (lesson.student, lesson.teacher, lesson.stream_key, *kept.values()):
        assert [line for line in logged if secret in line] == []
