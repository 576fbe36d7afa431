"""Ports for servers whose port must be known before they listen, or must stay the same after a restart."""

import random
import socket

#: Below the ports of outgoing connections (Linux: from 32768), so that no connection takes one meanwhile.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return different ports of loopback on which nobody listens."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            break
        if _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
