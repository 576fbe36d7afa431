"""Listening sockets and TLS contexts, with start-up errors that people can act on."""

import errno
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from airnode.errors import StartupError
from airnode.kernel.tls import load_certificate

BACKLOG = 1024


def bind(host: str, port: int, what: str, how: str, *, backlog: int = BACKLOG) -> list[socket.socket]:
    """Return TCP sockets bound on all addresses of ``host``; port 0 takes any free one, the same for all of them.

    Args:
        what: the port's purpose, for the error. how: the flag that changes it.

    Raises:
        StartupError: one plain sentence: in use, not permitted, no such address.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartupError(f"Cannot listen on {host!r}: {error.strerror or error}; set another with --host.") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, kind, protocol, address, sockets, backlog))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise StartupError(_why(error, host, port, what, how)) from None
    return sockets


def require_free(host: str, port: int, what: str, how: str) -> None:
    """Raise StartupError, as :func:`bind` does, if the port cannot be bound now."""
    for sock in bind(host, port, what, how):
        sock.close()


def _bound(
    family: int,
    kind: int,
    protocol: int,
    address: tuple[object, ...],
    earlier: Sequence[socket.socket],
    backlog: int,
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        port = earlier[0].getsockname()[1] if earlier else address[1]
        sock.bind((address[0], port, *address[2:]))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _why(error: OSError, host: str, port: int, what: str, how: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} for {what} is in use by another program; stop it, or choose another port with {how} "
            "(0 takes any free one)."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} for {what} needs more rights than this user has; choose one above 1023 with {how}."
    return f"Cannot listen on {host}:{port} for {what}: {error.strerror or error}; see --host and {how}."


def tls_context(cert: Path | None, key: Path | None, section: str = "http") -> ssl.SSLContext | None:
    """Return the server context for a certificate and its key; None if there is none.

    Args:
        section: of the configuration, for the error: ``http`` or ``rtmp``.

    Raises:
        StartupError: a file is missing, unreadable or encrypted, or they do not belong together.
    """
    if cert is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, cert, key, section)
    return context
