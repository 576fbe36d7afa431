"""Listening sockets and the TLS context, with start-up errors that people can act on."""

import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Final

from airnode.errors import StartupError

_BACKLOG: Final = 128
#: Seconds of silence before the kernel probes, between two probes; probes before it gives up.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


def listen(host: str, port: int, setting: str) -> list[socket.socket]:
    """Non-blocking sockets that listen on all addresses of ``host``, on one port; port 0: any free one.

    Args:
        setting: how to change the port, for the error: ``--rtmp-port or rtmp.port``.

    Raises:
        StartupError: the address cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(
            f"Cannot listen on {host!r}: it is not an address of this machine; set http.host."
        ) from error
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(_bind(family, (address[0], port, *address[2:])))
            port = sockets[0].getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise StartupError(_explain(error, host, port, setting)) from error
    return sockets


def _bind(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if os.name == "posix":  # elsewhere it would let two programs share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is already in use; stop the program that holds it, or choose another with {setting}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"This user may not listen on port {port}; choose one above 1023 with {setting}."
    return f"Cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}); set http.host."


def tune(sock: socket.socket) -> None:
    """Small writes go out at once, and the kernel notices a peer that vanished."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """The server's TLS context.

    Raises:
        StartupError: the certificate or its key is missing or broken.
    """
    if cert is None:
        raise StartupError("RTMPS needs a certificate: set rtmp.tls_cert and rtmp.tls_key, or unset rtmp.tls_port.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # The password is empty: without one, an encrypted key would ask on the terminal.
        context.load_cert_chain(cert, key, password="")
    except FileNotFoundError as error:
        missing = next((path for path in (cert, key) if path is not None and not path.exists()), cert)
        raise StartupError(f"The file {missing} does not exist (rtmp.tls_cert, rtmp.tls_key).") from error
    except PermissionError as error:
        raise StartupError(f"This user may not read {cert} or {key} (rtmp.tls_cert, rtmp.tls_key).") from error
    except (ssl.SSLError, OSError, ValueError) as error:
        files = f"{cert}" if key is None else f"{cert} and {key}"
        raise StartupError(
            f"{files} are not a PEM certificate with its unencrypted private key (rtmp.tls_cert, rtmp.tls_key)."
        ) from error
    return context
