"""A real nginx in front of several ports, round robin, configured as deploy/nginx shows it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.ports import free_ports
from tests.support.waiting import eventually

PATH = f"{os.environ['PATH']}:/usr/sbin"
DEPLOYED = Path(__file__).parents[2] / "deploy/nginx/airnode.conf"
_CONFIG = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log warn; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c; uwsgi_temp_path {work}/d;
  scgi_temp_path {work}/e;
  {deployed}
}}
"""


def deployed(port: int, servers: str) -> str:
    """Return the file of deploy/nginx with these addresses."""
    text = DEPLOYED.read_text()
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{port} backlog=1024;"),
        ("server 127.0.0.1:8000;", servers),
        ("server 127.0.0.1:8888;", servers),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def nginx_path() -> str | None:
    return shutil.which("nginx", path=PATH)


@asynccontextmanager
async def round_robin(work: Path, ports: Sequence[int]) -> AsyncIterator[str]:
    """Yield the URL of an nginx that gives each request to the next of these ports."""
    port = free_ports(1)[0]
    servers = " ".join(f"server 127.0.0.1:{each};" for each in ports)
    user = "user root;" if os.getuid() == 0 else ""
    (work / "nginx.conf").write_text(_CONFIG.format(work=work, user=user, deployed=deployed(port, servers)))
    binary = nginx_path()
    assert binary is not None
    process = await asyncio.create_subprocess_exec(
        binary, "-e", str(work / "error.log"), "-c", str(work / "nginx.conf"), stderr=asyncio.subprocess.PIPE
    )
    try:

        async def listens() -> bool:
            assert process.returncode is None, await process.stderr.read() if process.stderr else b""
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(listens, what="nginx listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
