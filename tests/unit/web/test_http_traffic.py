"""The connections and requests of a node's ports, as Prometheus sees them."""

import socket

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.web.http_listener import HttpListener, HttpLog
from airnode.web.http_traffic import HttpTraffic
from tests.support.waiting import eventually


async def test_connections_and_requests_are_counted_through_a_change_of_the_server():
    registry = CollectorRegistry()
    traffic = HttpTraffic(registry)

    def value(name: str) -> float | None:
        return registry.get_sample_value(name, {"port": "http"})

    async def handle(request: web.Request) -> web.Response:
        return web.Response()

    log = HttpLog(registry)
    for requests in (3, 5):
        app = web.Application()
        app.router.add_get("/", handle)
        listener = HttpListener(app, [socket.create_server(("127.0.0.1", 0))], None, 1.0, log)
        await listener.start()
        traffic.watch("http", listener.server)
        async with aiohttp.ClientSession() as session:
            for _ in range(requests):
                async with session.get(f"http://127.0.0.1:{listener.port}/") as response:
                    assert response.status == 200
            assert value("http_active_connections") == 1
        await eventually(lambda: value("http_active_connections") == 0, 5, "the connection is gone")
        await listener.stop()
    assert value("http_requests_total") == 8
