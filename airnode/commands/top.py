"""``airnode top``: polls a master and renders its answers."""

import http.client
import signal
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.live import Live

from airnode.cluster.api_types import NodeList, StreamList
from airnode.commands.top_view import Snapshot, render
from airnode.errors import StartupError
from airnode.kernel.connection_errors import connection_failure
from airnode.runtime import endpoints

A = TypeVar("A", bound=msgspec.Struct)


class Target(msgspec.Struct, frozen=True):
    """The address of a master, and the credential for it."""

    url: str
    secret: str


class SecretRefused(Exception):
    """The master refuses the secret, or requires one."""

    def __init__(self, secret: str) -> None:
        what = "refuses this secret" if secret else "wants a secret"
        super().__init__(f"The master {what}; give --secret (the cluster token will do).")


def find_target(url: str, secret: str, data_dir: Path) -> Target:
    """Return the target; an empty value comes from the node that runs on this machine with ``data_dir``.

    Raises:
        StartupError: there is neither an address nor a running node, or that node is no master.
    """
    try:
        local = endpoints.read(data_dir)
    except StartupError:
        if not url:
            raise
        local = {}
    found = url or str(local.get("api_url", ""))
    if not found:
        raise StartupError(f"No node runs with {data_dir}: give the address of a master, or --data-dir.")
    if not url and "admin_url" not in local:
        raise StartupError(_no_master(local))
    if "://" not in found:
        found = f"http://{found}"
    if not url or found.rstrip("/") == str(local.get("api_url", "")).rstrip("/"):
        secret = secret or str(local.get("teacher_secret", ""))
    return Target(found.rstrip("/"), secret)


def poll(target: Target, before: Snapshot | None, timeout_s: float) -> Snapshot:
    """Return a new snapshot, or ``before`` with the error if the master cannot be reached or refuses."""
    snapshot = before or Snapshot(target.url, time.time())
    try:
        nodes = _get(target, "/cluster/nodes", NodeList, timeout_s)
        streams = _get(target, "/cluster/streams", StreamList, timeout_s)
    except SecretRefused as refused:
        return replace(snapshot, error=str(refused), is_refused=True)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return replace(snapshot, error=connection_failure(target.url, error, "master"), is_refused=False)
    return Snapshot(target.url, time.time(), nodes, streams)


def run(target: Target, interval_s: float) -> None:
    """Show the view until Ctrl+C or SIGTERM."""
    stop = threading.Event()
    # Not with KeyboardInterrupt: one that is raised in a destructor is printed and lost.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console = Console()
    snapshot = poll(target, None, 3.0)
    with Live(
        render(snapshot, height=console.height, width=console.width), console=console, screen=True, auto_refresh=False
    ) as live:
        while True:
            live.update(render(snapshot, height=console.height, width=console.width), refresh=True)
            if stop.wait(interval_s):
                return
            snapshot = poll(target, snapshot, 3.0)


def print_once(snapshot: Snapshot) -> None:
    """Print the view once, as text."""
    console = Console()
    console.print(render(snapshot, height=10_000, width=console.width))


def _no_master(local: Mapping[str, object]) -> str:
    """Return a sentence: the node with these endpoints is no master, and where to find its master."""
    what = "a slave" if "rtmp_server" in local else "no master"
    master_url = local.get("master_url")
    where = f"at {master_url}: airnode top {master_url}" if master_url else "by its address: airnode top URL"
    return f"That node is {what}; ask its master {where}"


def _get(target: Target, path: str, kind: type[A], timeout_s: float) -> A:
    parts = urllib.parse.urlsplit(target.url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname or "localhost", parts.port, timeout=timeout_s, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "localhost", parts.port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {target.secret}"} if target.secret else {}
    try:
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        response = connection.getresponse()
        content = response.read(64 << 20)
    finally:
        connection.close()
    if response.status in (401, 403):
        raise SecretRefused(target.secret)
    if response.status != 200:
        raise ValueError(_refusal(response.status, content))
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"this is no airnode master: {error}") from None


def _refusal(status: int, content: bytes) -> str:
    try:
        return f"{status}: {msgspec.json.decode(content)['detail']}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"{status}: this is no airnode master"
