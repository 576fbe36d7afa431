"""A port: what reaches the handlers."""

import asyncio
import gzip
import socket

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.web.http_listener import HttpListener, HttpLog


async def _size(request: web.Request) -> web.Response:
    return web.json_response(len(await request.read()))


async def test_a_compressed_body_is_never_inflated():
    app = web.Application()
    app.router.add_post("/", _size)
    listener = HttpListener(app, [socket.create_server(("127.0.0.1", 0))], None, 1.0, HttpLog(CollectorRegistry()))
    await listener.start()
    try:
        data = gzip.compress(b" " * 500_000)
        url, headers = f"http://127.0.0.1:{listener.port}/", {"Content-Encoding": "gzip"}
        async with aiohttp.ClientSession() as http, http.post(url, data=data, headers=headers) as answer:
            assert await answer.json() == len(data)
        async with aiohttp.ClientSession() as http, http.post(url, data=b"no gzip", headers=headers) as answer:
            assert await answer.json() == 7
    finally:
        await listener.stop()


async def test_a_connection_without_a_request_is_closed_and_one_that_had_some_stays():
    app = web.Application()
    app.router.add_post("/", _size)
    registry = CollectorRegistry()
    sock, log = socket.create_server(("127.0.0.1", 0)), HttpLog(registry)
    listener = HttpListener(app, [sock], None, 1.0, log, silence_s=0.1)
    await listener.start()
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    try:
        async with asyncio.timeout(5):
            used, use = await asyncio.open_connection("127.0.0.1", listener.port)
            use.write(request)
            await used.readuntil(b"\r\n\r\n0")
            half, write = await asyncio.open_connection("127.0.0.1", listener.port)
            write.write(request[:-2])
            idle, silent = await asyncio.open_connection("127.0.0.1", listener.port)
            for reader in (idle, half):
                assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            use.write(request)
            await used.readuntil(b"\r\n\r\n0")
        assert registry.get_sample_value("airnode_http_silent_connections_total") == 2
        for writer in (use, write, silent):
            writer.close()
            await writer.wait_closed()
    finally:
        await listener.stop()
