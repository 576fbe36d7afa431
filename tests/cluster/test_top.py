"""``airnode top`` as a command, in a pipe and in a terminal."""

import asyncio
import json
import os
import pty
import signal
import struct
import sys
import termios
from fcntl import ioctl

import pytest

from tests.support.cluster import TOKEN, Cluster
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)


async def top(*args: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "airnode",
        "top",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_top_once_as_json_and_as_text(cluster: Cluster):
    await cluster.add_slave("slave-1")
    code, out, _ = await top("--once", "--json", "--data-dir", str(cluster.master.data_dir))
    found = json.loads(out)
    assert (code, found["alarms"], found["cluster"]["healthy_nodes"]) == (0, [], 1)
    code, out, _ = await top(cluster.master["api_url"], "--once", env={"AIRNODE_CLUSTER__TOKEN": TOKEN})
    assert code == 0
    assert "slave-1" in out
    assert "no alarms" in out


async def test_top_reports_errors(cluster: Cluster, tmp_path):
    url = cluster.master["api_url"]
    code, out, _ = await top(url, "--once", "--json", "--secret", "wrong")
    assert code == 1
    assert json.loads(out)["error"].startswith("The master refuses this secret; give --secret")
    code, out, _ = await top("http://127.0.0.1:9", "--once")
    assert code == 1
    assert "!! Nothing listens at http://127.0.0.1:9; is the master running?" in out
    code, _, err = await top("--once", "--data-dir", str(tmp_path / "nothing"))
    assert code == 2
    assert err.startswith("airnode: No node runs with ")


async def test_top_in_a_terminal(cluster: Cluster):
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "airnode",
        "top",
        "--interval",
        "0.2",
        "--data-dir",
        str(cluster.master.data_dir),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    shown = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(master, lambda: shown.extend(os.read(master, 65536)))
    try:
        await eventually(lambda: "no node has joined" in shown.decode(errors="replace"), what="the empty cluster")
        await cluster.add_slave("slave-1")
        await eventually(lambda: "slave-1" in shown.decode(errors="replace"), what="the slave shows up by itself")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert b"Traceback" not in shown
    finally:
        loop.remove_reader(master)
        os.close(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
