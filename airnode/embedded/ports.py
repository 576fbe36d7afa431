"""TCP ports of embedded servers: the configured one, or any free one that is then kept."""

import socket
from pathlib import Path

from airnode.errors import StartupError


def kept_port(host: str, port: int, kept: Path, *, server: str, key: str) -> int:
    """The port to listen on; for port 0 the one in ``kept``, if it can be had, or any.

    Args:
        server, key: whose port it is and where it is configured, for the error.

    Raises:
        StartupError: it cannot be had.
    """
    wanted = [port]
    if not port and kept.is_file() and (text := kept.read_text().strip()).isdigit():
        wanted.insert(0, int(text))
    reason = ""
    for each in wanted:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, each))
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            found: int = sock.getsockname()[1]
            kept.write_text(f"{found}\n")
            return found
    raise StartupError(
        f"Port {port} on {host} for the embedded {server} cannot be had: {reason}; choose another "
        f"with --set {key}=PORT (0 takes any free one)."
    )
