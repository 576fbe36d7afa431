"""The systemd units in deploy/."""

import asyncio
import configparser
import contextlib
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from airnode.config.model import Settings
from deploy.local.topology import seconds, variables_of
from tests.support.deployment import AIRNODE, ROOT, SECRETS, bare_env, check_classroom, command
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = SYSTEMD / "airnode@.service"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


class Systemd:
    """Runs a unit like systemd: its environment, its command, and a socket that receives the notifications."""

    def __init__(self, tmp_path: Path, role: str) -> None:
        self.state = tmp_path / "state"
        self.state.mkdir()
        self.role = role
        self.received: list[str] = []
        self._path = str(tmp_path / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        self._socket.setblocking(False)
        self.process: asyncio.subprocess.Process | None = None

    def _resolved(self, text: str) -> str:
        return text.replace("%i", self.role).replace("%S", str(self.state))

    async def start(self, **env: str) -> None:
        service = unit()["Service"]
        program, *args = self._resolved(service["ExecStart"]).split()
        assert program == "/opt/airnode/bin/airnode"
        own = dict(pair.split("=", 1) for pair in self._resolved(service["Environment"]).split())
        self.process = await asyncio.create_subprocess_exec(
            AIRNODE,
            *args,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=bare_env(
                **own, **env, NOTIFY_SOCKET=self._path, WATCHDOG_USEC=str(int(service["WatchdogSec"]) * 1_000_000)
            ),
        )

    def heard(self, word: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.received += self._socket.recv(4096).decode().splitlines()
        return word in self.received

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            async with asyncio.timeout(30):
                await self.process.wait()
        self._socket.close()


async def test_a_master_notifies_systemd(tmp_path: Path):
    systemd = Systemd(tmp_path, "master")
    ports = {name: "0" for name in ("AIRNODE_HTTP__PORT", "AIRNODE_EMBEDDED__REDIS_PORT")}
    try:
        await systemd.start(**SECRETS, **ports, AIRNODE_HTTP__HOST="127.0.0.1")
        await eventually(lambda: systemd.heard("READY=1"), 30, "it says that it is ready")
        assert "STATUS=serving" in systemd.received
        systemd.received.clear()
        await eventually(lambda: systemd.heard("WATCHDOG=1"), 20, "it says that it is alive")
        endpoints = json.loads((systemd.state / "airnode" / "master" / "endpoints.json").read_text())
        assert endpoints["pid"] == systemd.process.pid
        assert endpoints["teacher_secret"]
        systemd.process.terminate()
        await eventually(lambda: systemd.heard("STOPPING=1"), 20, "it says that it stops")
        async with asyncio.timeout(30):
            assert await systemd.process.wait() == 0
    finally:
        await systemd.close()


async def test_a_slave_that_waits_for_its_master_notifies_systemd(tmp_path: Path):
    systemd = Systemd(tmp_path, "slave")
    ports = {f"AIRNODE_{name}__PORT": "0" for name in ("HTTP", "MEDIA", "RTMP")}
    try:
        await systemd.start(
            **ports,
            AIRNODE_HTTP__HOST="127.0.0.1",
            MASTER_URL="http://127.0.0.1:9",
            AIRNODE_CLUSTER__TOKEN=SECRETS["AIRNODE_CLUSTER__TOKEN"],
        )
        await eventually(lambda: systemd.heard("STATUS=joining the cluster"), 20, "it says what it waits for")
        assert "READY=1" not in systemd.received
        assert unit()["Service"]["TimeoutStartSec"] == "infinity"
    finally:
        await systemd.close()


def test_the_unit_stops_airnode_with_a_drain():
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"  # SIGTERM must not reach the embedded servers
    assert seconds(service["TimeoutStopSec"] + "s") > Settings().drain.deadline_s
    assert service["RestartPreventExitStatus"] == "2"
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["Environment"].split()[0] == f"AIRNODE_NODE__DATA_DIR=%S/{service['StateDirectory']}"


@pytest.mark.parametrize(
    "role", ["standalone", "master", "slave", "cache-worker", "producer", "consumer", "stt-worker"]
)
async def test_systemd_accepts_the_unit(tmp_path: Path, role: str):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: it comes with systemd")
    # systemd-analyze verify needs the command and the files to exist.
    (tmp_path / f"{role}.env").write_text("")
    text = UNIT.read_text().replace("/opt/airnode/bin/airnode", AIRNODE).replace("/etc/airnode/", f"{tmp_path}/")
    text = re.sub("^(User|Group)=.*$", "", text, flags=re.M)
    (tmp_path / UNIT.name).write_text(text)
    code, output = await command(
        "systemd-analyze", "verify", "--recursive-errors=no", "--man=no", str(tmp_path / f"airnode@{role}.service")
    )
    ours = [line for line in output.splitlines() if "airnode@" in line]
    assert (code, ours) == (0, []), output


@pytest.mark.parametrize("role", ["standalone", "master", "slave", "cache-worker", "producer", "consumer"])
async def test_the_example_environments_are_valid_when_filled_in(role: str):
    text = (SYSTEMD / f"{role}.env").read_text()
    named = dict(re.findall(r"^#?([A-Z]\w+)=(.*)$", text, re.M))
    values = {name: SECRETS.get(name, value or "chalk-and-talk") for name, value in named.items()}
    # It checks like `config check`.
    code, output = await command(AIRNODE, "config", "show", "--json", env=bare_env(**values))
    assert code == 0, output
    check_classroom(json.loads(output))
    for name in variables_of(SYSTEMD / f"{role}.env"):
        assert name in named
