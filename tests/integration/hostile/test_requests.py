"""Bad requests on every port of a running node, while a class is live and somebody watches it."""

import asyncio
import contextlib
import os
import re

import pytest

from tests.support.hostile import (
    LiveClass,
    logged_end,
    send_and_read,
)
from tests.support.waiting import eventually

GARBAGE = {
    "random": os.urandom(20_000),
    "zeros": bytes(20_000),
    "tls": bytes.fromhex("16030100a5010000a10303") + os.urandom(160),
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary http": b"GET /\xff\xfe\x00 HTTP/1.1\r\n\x00\x01: \x02\r\n\r\n",
    "version": b"GET / HTTP/9.9999\r\n\r\n",
    "lines": b"\r\n" * 5000,
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(500),
    "one byte": b"\x03",
}

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_on_every_port(live: LiveClass, kind: str):
    async with live.unharmed():
        malformed = await live.metric("airnode_http_malformed_total")
        for name, port in live.ports.items():
            answer, remote = await send_and_read(port, GARBAGE[kind])
            if name == "rtmp":
                line = await logged_end(live.node, remote)
                assert line["reason"]
            elif answer:
                assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 505 ")), (
                    answer
                )
        if kind not in ("lines", "one byte"):
            assert await live.metric("airnode_http_malformed_total") >= malformed + 2


async def test_connections_that_send_nothing(live: LiveClass):
    async with live.unharmed(), contextlib.AsyncExitStack() as stack:
        held = []
        for port in live.ports.values():
            for _ in range(40):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                held.append((port, reader))
        async with asyncio.timeout(10):
            for port, reader in held:
                if port == live.rtmp_port:
                    assert await reader.read() == b"", "cut after the handshake's time"


async def test_slow_clients(live: LiveClass):
    async with live.unharmed(), contextlib.AsyncExitStack() as stack:
        head = b"GET /health HTTP/1.1\r\nX-Slow: "
        slow = []
        for port in live.ports.values():
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                writer.write(head if port != live.rtmp_port else b"\x03")
                slow.append((port, reader, writer))
        rtmp = [reader for port, reader, _ in slow if port == live.rtmp_port]

        async def all_cut() -> bool:
            for _, _, writer in slow:
                if not writer.is_closing():
                    writer.write(b"a")
            return all(reader.at_eof() or reader.exception() for reader in rtmp)

        await eventually(all_cut, 10, "slow handshakes are cut")
        async with live.session.get(live.node["api_url"] + "/health/readiness") as response:
            assert response.status == 200


HUGE = {
    "path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "query": b"GET /health?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "header": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "header name": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"a" * 100_000 + b": b\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    "token": b"GET /v/" + b"a" * 7000 + b"/stream/index.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "endless": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (8 << 20),
}


@pytest.mark.parametrize("kind", HUGE)
async def test_huge_requests(live: LiveClass, kind: str):
    async with live.unharmed():
        for name in ("http", "media"):
            answer, _ = await send_and_read(live.ports[name], HUGE[kind])
            statuses = re.findall(rb"HTTP/1\.[01] (\d+)", answer)
            assert not answer or statuses[0] in (b"400", b"401", b"404", b"414", b"431"), (name, answer[:200])
            assert len(answer) < 4000


NEXT = b"GET /health/liveness HTTP/1.1\r\nHost: smuggled\r\n\r\n"

POST = b"POST /api/token HTTP/1.1\r\nHost: a\r\n"

SMUGGLED = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 48\r\n\r\n" + NEXT,
    "signed length": POST + b"Content-Length: +0\r\n\r\n" + NEXT,
    "list of lengths": POST + b"Content-Length: 0, 48\r\n\r\n" + NEXT,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + NEXT,
    "two codings": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + NEXT,
    "blank before colon": POST + b"Content-Length : 48\r\n\r\n" + NEXT,
    "folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + NEXT,
    "bare line feed in chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n0\n\r\n" + NEXT,
    "chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + NEXT,
    "huge chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + NEXT,
    "carriage returns": b"POST /api/token HTTP/1.1\rHost: a\r\r" + NEXT,
}


@pytest.mark.parametrize("kind", SMUGGLED)
async def test_a_second_request_is_never_smuggled(live: LiveClass, kind: str):
    async with live.unharmed():
        answer, _ = await send_and_read(live.ports["http"], SMUGGLED[kind])
        assert b"alive" not in answer, answer
        assert answer.count(b"HTTP/1.1 ") <= 1
