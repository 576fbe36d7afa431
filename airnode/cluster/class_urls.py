"""The media, RTMP and class addresses in answers. They use the host that the client typed."""

import msgspec
from aiohttp import web

from airnode.bus.messages import NodeRecord
from airnode.cluster.classes import Class
from airnode.web.addresses import Addresses, PortName, is_loopback, publish_servers, publish_urls, rtmp_server
from airnode.web.clients import Clients


class StreamKeyResponse(msgspec.Struct, omit_defaults=True):
    """Where and with which key the teacher publishes.

    Attributes:
        browser_url: the WebSocket to which the studio publishes (docs/browser-ingest.md). node_id: its node.
        srt_url, rtsp_url, whip_url: the same for other protocols, where the node takes them.
    """

    rtmp_url: str
    rtmp_server: str
    stream_key: str
    browser_url: str = ""
    node_id: str = ""
    srt_url: str = ""
    rtsp_url: str = ""
    whip_url: str = ""


class ClassUrls:
    """Makes the addresses."""

    def __init__(self, clients: Clients, addresses: Addresses) -> None:
        self._clients = clients
        self._addresses = addresses

    def media_url(self, request: web.Request, node: NodeRecord) -> str:
        """Return the base URL of a node's media port."""
        return f"{node.scheme}://{self.host(request, node)}:{node.media_port}"

    def ingest(self, request: web.Request, found: Class, node: NodeRecord) -> StreamKeyResponse:
        """Return the addresses and the stream key with which the teacher publishes."""
        host, key = self.host(request, node), found.stream_key
        server = rtmp_server(host, node.rtmp_port)
        urls = publish_urls(publish_servers(host, node.publish_ports), key)
        browser_url = self.media_url(request, node).replace("http", "ws", 1) + "/publish"
        return StreamKeyResponse(f"{server}/{key}", server, key, browser_url, node.node_id, **urls)

    def class_url(self, request: web.Request, found: Class) -> str:
        """Return the link for students; if possible, one that also works from other machines."""
        host = self._clients.host(request)
        if is_loopback(self._clients.hostname(request)) and (lan := self._addresses.network_host):
            host = f"{lan}:{self._addresses.ports[PortName.HTTP]}"
        return f"{self._clients.scheme(request)}://{host}/class/{found.code}"

    def host(self, request: web.Request, node: NodeRecord) -> str:
        """Return a node's host; if the node has none, the host that the client typed."""
        return node.host or self._clients.hostname(request)
