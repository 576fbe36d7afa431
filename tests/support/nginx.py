"""A real nginx in front of several ports, round robin, as docs/chat.md shows it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.ports import free_ports
from tests.support.waiting import eventually

PATH = f"{os.environ['PATH']}:/usr/sbin"
_CONFIG = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log warn; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c; uwsgi_temp_path {work}/d;
  scgi_temp_path {work}/e;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream chat {{ {servers} keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location /socket.io/ {{
      proxy_pass http://chat;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $http_host;
      proxy_read_timeout 75s;
      proxy_buffering off;
    }}
  }}
}}
"""


def nginx_path() -> str | None:
    return shutil.which("nginx", path=PATH)


@asynccontextmanager
async def round_robin(work: Path, ports: Sequence[int]) -> AsyncIterator[str]:
    """Yield the URL of an nginx that gives each request to the next of these ports."""
    port = free_ports(1)[0]
    servers = " ".join(f"server 127.0.0.1:{each};" for each in ports)
    user = "user root;" if os.getuid() == 0 else ""
    (work / "nginx.conf").write_text(_CONFIG.format(work=work, port=port, servers=servers, user=user))
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
