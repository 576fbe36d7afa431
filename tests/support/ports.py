"""Ports of servers that are named before they listen, or that come back on the same one."""

import random
import socket

#: Below what systems give to outgoing connections (Linux: 32768 and more), so that nobody gets one by chance meanwhile.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different ports of loopback on which nobody listens."""
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
