"""The addresses that a request gets back: of media, of RTMP, of a class. They use the host that the client typed."""

import msgspec
from aiohttp import web

from airnode.bus.messages import NodeRecord
from airnode.cluster.classes import Class
from airnode.web.addresses import Addresses, PortName, is_loopback, rtmp_server
from airnode.web.clients import Clients


class StreamKeyResponse(msgspec.Struct):
    """Where and with which key the teacher publishes."""

    rtmp_url: str
    rtmp_server: str
    stream_key: str


class ClassUrls:
    """Makes the addresses."""

    def __init__(self, clients: Clients, addresses: Addresses) -> None:
        self._clients = clients
        self._addresses = addresses

    def media_url(self, request: web.Request, node: NodeRecord) -> str:
        """Return the base URL of a node's media port."""
        return f"{node.scheme}://{self.host(request, node)}:{node.media_port}"

    def ingest(self, request: web.Request, found: Class, node: NodeRecord) -> StreamKeyResponse:
        """Return where and with which key the teacher publishes."""
        server = rtmp_server(self.host(request, node), node.rtmp_port)
        return StreamKeyResponse(f"{server}/{found.stream_key}", server, found.stream_key)

    def class_url(self, request: web.Request, found: Class) -> str:
        """Return the link for students: one that also works from another machine, if there is one."""
        host = self._clients.host(request)
        if is_loopback(self._clients.hostname(request)) and (lan := self._addresses.network_host):
            host = f"{lan}:{self._addresses.ports[PortName.HTTP]}"
        return f"{self._clients.scheme(request)}://{host}/class/{found.code}"

    def host(self, request: web.Request, node: NodeRecord) -> str:
        """Return a node's host, or the one that the client typed where the node has none."""
        return node.host or self._clients.hostname(request)
