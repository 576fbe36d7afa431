"""Sentences that say why a server could not be reached and what to check."""

import errno
import socket


def connection_failure(url: str, error: Exception, server: str) -> str:
    """Return why the connection to ``url`` failed. An error that is not a common one keeps its own text.

    Args:
        error: of the standard library or of aiohttp, whose connection errors are ``OSError`` with the same ``errno``.
        server: the kind of server that was expected there, such as ``master``.
    """
    cause = getattr(error, "os_error", error)  # aiohttp.ClientConnectorError
    if isinstance(cause, TimeoutError):
        return f"{url} gives no answer in time; is the {server} running?"
    if isinstance(cause, socket.gaierror):
        return f"There is no host with the name in {url}; is it spelt right?"
    if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        return f"Nothing listens at {url}; is the {server} running?"
    return f"{url}: {str(error) or type(error).__name__}"
