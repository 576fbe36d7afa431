"""Compares the CPU per request with nginx, which serves the same bytes from files."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.bench import Bench, LoadGenerator, Running
from tests.bench.http1 import HttpConnection
from tests.bench.meters import ProcessMeter, quantile
from tests.bench.report import Figure, Skipped
from tests.bench.source import TimedPublisher

_CONNECTIONS = 64
_ROUNDS = 3
_ROUND_S = 3.0
_FILL_S = 8.0
_CONFIG = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log warn; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 mp4; }}
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c; uwsgi_temp_path {work}/d;
  scgi_temp_path {work}/e;
  server {{ listen 127.0.0.1:{port} backlog=1024; root {work}/files; }}
}}
"""


async def peer(bench: Bench) -> None:
    """Measure media playlist, part and segment. The servers take turns, so that other load affects both."""
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        raise Skipped("nginx is not installed (apt install nginx-light)")
    work = bench.work / "nginx"
    (work / "files").mkdir(parents=True)
    async with bench.node("--set", "hls.grace_s=600") as node:
        # After a publisher drops, the window stays unchanged for the grace time: all requests get the same bytes.
        publisher = await TimedPublisher(node.process["rtmp_url"], bench.clip).start()
        await node.live()
        await asyncio.sleep(_FILL_S)
        await publisher.stop()
        base = f"/v/{node.tokens(1)[0]}/stream/"
        sizes = await _copy(node, base, work / "files")
        async with _nginx(work) as (port, pid):
            await _compare(bench, node, base, sizes, port, pid)


async def _compare(
    bench: Bench, node: Running, base: str, sizes: dict[str, tuple[str, int]], port: int, pid: int
) -> None:
    host, media_port = node.media
    nginx = ProcessMeter(pid)
    for kind, (name, size) in sizes.items():
        ours, theirs = [], []
        for _ in range(_ROUNDS):
            bench.progress(f"nginx and airnode, {kind}")
            theirs.append(await _cost_us(nginx, host, port, f"/{name}", workers=True))
            ours.append(await _cost_us(node.meter, host, media_port, base + name, workers=False))
        mine, other = quantile(ours, 0.5), quantile(theirs, 0.5)
        title = f"{kind} of {size / 1024:.1f} KiB: "
        bench.report.add(
            "peer",
            Figure(f"peer_{kind}_airnode", title + "airnode, CPU a request", mine, "µs"),
            Figure(f"peer_{kind}_nginx", title + "nginx, CPU a request", other, "µs"),
            Figure(f"peer_{kind}_ratio", title + "ratio", mine / other, "x"),
        )
        bench.report.details[f"peer_{kind}"] = {"airnode_us": ours, "nginx_us": theirs}


async def _cost_us(meter: ProcessMeter, host: str, port: int, path: str, *, workers: bool) -> float:
    orders = {"host": host, "port": port, "path": path, "connections": _CONNECTIONS, "seconds": _ROUND_S}
    async with LoadGenerator(do="hammer", **orders) as load:
        await load.message(15)
        before = meter.read()
        result = await load.message(_ROUND_S + 15)
        after = meter.read()
    assert not result["errors"], result["errors"]
    spent_s = after.own_cpu_s - before.own_cpu_s
    if workers:
        spent_s += after.children_cpu_s - before.children_cpu_s
    return spent_s / float(result["requests"]) * 1e6


async def _copy(node: Running, base: str, files: Path) -> dict[str, tuple[str, int]]:
    """Store the playlist, a part and a segment as files. Return {kind: (name, bytes)}."""
    connection = await HttpConnection.open(*node.media)
    playlist = (await connection.get(base + "media.m3u8", keep=True)).body
    parts = re.findall(rb'#EXT-X-PART:[^\n]*URI="([^"]+)"', playlist)
    segments = re.findall(rb"#EXTINF:[^\n]*\n([^\n]*_seg[^\n]*)", playlist)
    found = {}
    for kind, name in (("playlist", b"media.m3u8"), ("part", parts[len(parts) // 2]), ("segment", segments[-1])):
        answer = await connection.get(base + name.decode(), keep=True)
        assert answer.status == 200, (name, answer.status)
        (files / name.decode()).write_bytes(answer.body)
        found[kind] = (name.decode(), answer.size)
    connection.close()
    return found


@asynccontextmanager
async def _nginx(work: Path) -> AsyncIterator[tuple[int, int]]:
    """Run nginx with one worker on a free port. Yield (port, pid of its master)."""
    port = _free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (work / "nginx.conf").write_text(_CONFIG.format(work=work, port=port, user=user))
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(work), "-c", str(work / "nginx.conf"), "-e", str(work / "error.log")
    )
    try:
        await _answers(port)
        yield port, process.pid
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int) -> None:
    for _ in range(200):
        try:
            (await HttpConnection.open("127.0.0.1", port)).close()
            return
        except OSError:
            await asyncio.sleep(0.02)
    raise RuntimeError("nginx does not listen")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
