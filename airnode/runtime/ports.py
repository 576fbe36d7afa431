"""The HTTP ports of a node. They are bound once, before the roles are built. One application serves each of them."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry

from airnode.config.sections.http import HttpSection
from airnode.web.addresses import Addresses, PortName
from airnode.web.apps import build_app
from airnode.web.http_listener import HttpListener, HttpLog
from airnode.web.http_traffic import HttpTraffic
from airnode.web.sockets import bind, tls_context

RouteAdder = Callable[[web.Application], None]

#: {port: (its purpose, the flag that changes it)}, for error messages.
_PURPOSES = {PortName.HTTP: ("the pages and the API", "--port"), PortName.MEDIA: ("media", "--media-port")}


class HttpPorts:
    """The sockets, and the applications that listen on them.

    Args:
        shutdown_timeout_s: how long requests that are still open may take when the applications stop.
        gate: raises Unavailable while only the health endpoints are open.
    """

    def __init__(
        self, http: HttpSection, shutdown_timeout_s: float, gate: Callable[[], None], registry: CollectorRegistry
    ) -> None:
        self._http = http
        self._shutdown_timeout_s = shutdown_timeout_s
        self._gate = gate
        self._log = HttpLog(registry)
        self._traffic = HttpTraffic(registry)
        self._sockets: dict[PortName, list[socket.socket]] = {}
        self._listeners: list[HttpListener] = []

    def bind(self, wanted: Mapping[PortName, int]) -> Mapping[PortName, int]:
        """Bind all ports and return their numbers; 0 takes any free port.

        Raises:
            StartupError: a port cannot be bound.
        """
        for name, number in wanted.items():
            self._sockets[name] = bind(self._http.host, number, *_PURPOSES[name])
        return {name: sockets[0].getsockname()[1] for name, sockets in self._sockets.items()}

    async def listen(self, routes: Mapping[PortName, Sequence[RouteAdder]], addresses: Addresses) -> None:
        """Serve each port with an application that has the routes of these functions."""
        tls = tls_context(self._http.tls_cert, self._http.tls_key)
        apps: dict[PortName, web.Application] = {}
        for name, sockets in self._sockets.items():
            apps[name] = build_app(
                self._http, routes.get(name, ()), self._gate, documents=lambda: apps_with_urls(apps, addresses)
            )
            # A listener closes its sockets. Copies keep the port bound when another application takes over.
            copies = [sock.dup() for sock in sockets]
            self._listeners.append(
                HttpListener(
                    apps[name],
                    copies,
                    tls,
                    self._shutdown_timeout_s,
                    self._log,
                    silence_s=self._http.silence_timeout_s,
                )
            )
        for name, listener in zip(self._sockets, self._listeners, strict=True):
            await listener.start()
            self._traffic.watch(name, listener.server)

    async def stop_listening(self) -> None:
        """Wait until open requests have ended. The ports stay bound."""
        listeners, self._listeners = self._listeners, []
        await asyncio.gather(*(listener.stop() for listener in listeners))

    async def close(self) -> None:
        """Accept no new requests, wait for open ones, and release the ports. It may be called twice."""
        for sock in (each for sockets in self._sockets.values() for each in sockets):
            sock.close()
        await self.stop_listening()


def apps_with_urls(apps: Mapping[PortName, web.Application], addresses: Addresses) -> list[tuple[web.Application, str]]:
    """Return each port's application with its base URL, for the OpenAPI document."""
    return [(app, addresses.url(name)) for name, app in apps.items()]
