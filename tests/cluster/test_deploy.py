"""What stands in deploy/: the Compose file, the cluster of plain processes that is read from it, the systemd units."""

import asyncio
import base64
import configparser
import contextlib
import fnmatch
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
import yaml
from yarl import URL

from airnode.config.model import Settings
from deploy.local.topology import COMPOSE, TopologyError, chosen, interpolated, read, seconds, variables_of
from tests.support.ffmpeg import Publisher
from tests.support.follower import Follower
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

ROOT = COMPOSE.parents[2]
AIRNODE = str(Path(sys.executable).with_name("airnode"))
CHECK = str(Path(sys.executable).with_name("check-jsonschema"))
SECRETS = {
    "JWT_SECRET_KEY": "5ea1ed" * 8,
    "AIRNODE_CLUSTER__TOKEN": "c0ffee" * 8,
    "AIRNODE_CLUSTER__PIPELINE_TOKEN": "0ddba11" * 6,
}
PIPELINE = ("pipeline-init", "cache-worker", "producer", "consumer")
BROKERS = ("kafka-1", "kafka-2", "kafka-3")


def bare_env(**more: str) -> dict[str, str]:
    """What a container starts with: nothing of ours."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **more}


async def command(*args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code, and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *args, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


# -- the cluster of plain processes -----------------------------------------------------------------------------------


class Local:
    """``make cluster-local`` with free ports."""

    def __init__(self, directory: Path, process: asyncio.subprocess.Process, output: Path) -> None:
        self.directory = directory
        self.process = process
        self._output = output

    @property
    def printed(self) -> str:
        return self._output.read_text(errors="replace")

    async def ready(self) -> None:
        def found() -> bool:
            assert self.process.returncode is None, self.printed
            return "the cluster is ready" in self.printed

        await eventually(found, 60, "the cluster is ready")

    def endpoints(self, name: str) -> dict[str, str]:
        return json.loads((self.directory / name / "endpoints.json").read_text())

    def pids(self) -> set[int]:
        """Everything below it, embedded servers included."""
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    async def gone(self, pids: set[int]) -> None:
        await eventually(lambda: not any(map(running, pids)), 20, "no process is left")

    async def wait(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def local(directory: Path, slaves: int, *more: str) -> AsyncIterator[Local]:
    """It, being started; whatever it left is killed at the end."""
    output = directory.with_name(directory.name + ".out")
    args = ["--slaves", str(slaves), "--free-ports", "--host", "127.0.0.1", "--data-dir", str(directory), *more]
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.local", *args, cwd=ROOT, stdout=file, stderr=file
        )
    try:
        yield Local(directory, process, output)
    finally:
        if process.returncode is None:
            left: list[psutil.Process] = []
            with contextlib.suppress(psutil.NoSuchProcess):
                left = psutil.Process(process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            for child in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


async def place_elsewhere(session: aiohttp.ClientSession, master: dict[str, str], media_url: str) -> str:
    """The playlist of a student whose place is not on the node of ``media_url``."""
    for number in range(20):
        body = {"user_type": "student", "user_id": f"mina-{number}", "code": master["class_code"]}
        async with session.post(f"{master['api_url']}/api/token", json=body) as response:
            grant = await response.json()
            assert response.status == 200, grant
        if not grant["hls_url"].startswith(media_url):
            async with session.get(grant["hls_url"], allow_redirects=False) as response:
                assert response.status == 302
                return str(response.url.join(URL(response.headers["Location"])))
    raise AssertionError("twenty students in a row were sent to one of four nodes")


@pytest.mark.ffmpeg
async def test_the_cluster_of_processes_plays_a_class_and_ends_with_ctrl_c(tmp_path: Path, clip: Path):
    async with local(tmp_path / "cluster", 4) as cluster, aiohttp.ClientSession() as session:
        await cluster.ready()
        master, origin = cluster.endpoints("master"), cluster.endpoints("slave-1")
        token = variables_of(cluster.directory / "cluster.env")["AIRNODE_CLUSTER__TOKEN"]

        async def four_healthy() -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{master['api_url']}/cluster/nodes", headers=headers) as response:
                body = await response.json()
            names = {node["node_name"] for node in body["nodes"] if node["status"] == "healthy"}
            return body["healthy_nodes"] == 4 and {"slave-1", "slave-2", "slave-3"} < names

        await eventually(four_healthy, 30, "four nodes are healthy")
        for field in ("studio_url", "class_url", "class_code", "stream_key"):
            assert master[field] in cluster.printed
        assert origin["rtmp_server"] in cluster.printed
        assert (await command(AIRNODE, "health", "--data-dir", str(cluster.directory / "slave-4")))[0] == 0

        publisher = await Publisher.of_clip(f"{origin['rtmp_server']}/{master['stream_key']}", clip).start()
        try:
            playlist = await place_elsewhere(session, master, origin["media_url"])

            async def on_air() -> bool:
                async with session.get(playlist.replace("index.m3u8", "media.m3u8")) as response:
                    return response.status == 200

            await eventually(on_air, 30, "another slave serves the class")
            follower = await Follower(session, playlist.replace("index.m3u8", "media.m3u8")).start()
            try:
                await follower.more_parts(10, 30)
            finally:
                await follower.stop()
        finally:
            await publisher.stop()
        pids = cluster.pids()
        assert len(pids) >= 7  # a master, its two servers, four slaves
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.wait() == 0, cluster.printed
        await cluster.gone(pids)
        code, output = await command(AIRNODE, "health", "--data-dir", str(cluster.directory / "slave-4"))
        assert (code, "no node is ready" in output) == (1, True)


async def test_the_pipeline_of_processes_lands_orders_and_ends_with_ctrl_c(tmp_path: Path):
    more = ("--profile", "pipeline", "--consumers", "2")
    (tmp_path / "cluster").mkdir(mode=0o700)
    (tmp_path / "cluster" / "cluster.env").write_text("CACHE_REFRESH_INTERVAL=2\n")
    async with local(tmp_path / "cluster", 1, *more) as cluster, aiohttp.ClientSession() as session:
        await cluster.ready()
        master = cluster.endpoints("master")
        assert master["admin_url"] in cluster.printed
        here = ("--data-dir", str(cluster.directory / "master"))
        code, output = await command(AIRNODE, "seed", "--users", "20", "--products", "20", *here)
        assert code == 0, output
        secrets = variables_of(cluster.directory / "cluster.env")
        headers = {"Authorization": f"Bearer {master['admin_secret']}"}

        async def landing() -> bool:
            async with session.get(f"{master['api_url']}/api/pipeline/status", headers=headers) as response:
                status = await response.json()
            roles = sorted(each["role"] for each in status["members"])
            orders = next(each for each in status["topics"] if each["topic"] == "orders")
            return roles == ["consumer", "consumer", "producer"] and orders["landed"] > 0

        await eventually(landing, 60, "orders land")
        for name in ("cache-worker", "producer", "consumer-1", "consumer-2", "pipeline-init"):
            for path in (cluster.directory / f"{name}.log", *(cluster.directory / name).rglob("*")):
                text = path.read_text(errors="replace") if path.is_file() else ""
                assert secrets["AIRNODE_CLUSTER__TOKEN"] not in text
                assert secrets["JWT_SECRET_KEY"] not in text
        pids = cluster.pids()
        cluster.process.send_signal(signal.SIGINT)
        assert await cluster.wait() == 0, cluster.printed
        await cluster.gone(pids)


async def test_a_node_that_fails_ends_the_cluster_of_processes(tmp_path: Path):
    async with local(tmp_path / "cluster", 1) as cluster:
        await cluster.ready()
        pids = cluster.pids()
        os.kill(int(cluster.endpoints("slave-1")["pid"]), signal.SIGKILL)
        assert await cluster.wait() == 1
        assert "slave-1 ended with -9" in cluster.printed
        await cluster.gone(pids)


async def test_a_cluster_that_cannot_start_says_why(tmp_path: Path):
    code, output = await command(
        sys.executable, "-m", "deploy.local", "--airnode", "no-such-airnode", "--data-dir", str(tmp_path)
    )
    assert code == 2
    assert "no command no-such-airnode" in output


# -- Compose ----------------------------------------------------------------------------------------------------------

PROGRAMS = {each.name: each for each in read(COMPOSE, SECRETS)}
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
EXAMPLE = COMPOSE.with_name(".env.example")


async def test_the_compose_file_is_one():
    code, output = await command(CHECK, "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert code == 0, output


async def test_the_schema_check_finds_an_error(tmp_path: Path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period: 30s", "stop_grace_perod: 30s"))
    code, output = await command(CHECK, "--builtin-schema", "vendor.compose-spec", str(wrong))
    assert (code, "stop_grace_perod" in output) == (1, True)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_airnode_knows_every_variable_of_a_service(name: str):
    # It checks as `config check` does, and also says which variable it took for which key.
    code, output = await command(AIRNODE, "config", "show", "--json", env=bare_env(**PROGRAMS[name].env))
    assert code == 0, output
    origins = {value["origin"] for value in json.loads(output).values()}
    assert {f"env {key}" for key, value in PROGRAMS[name].env.items() if value} <= origins


async def test_an_unknown_variable_is_found():
    env = {**PROGRAMS["slave-1"].env, "AIRNODE_MEDIA__PROT": "8881"}
    code, output = await command(AIRNODE, "config", "check", env=bare_env(**env))
    assert (code, "unknown environment variable" in output or "unknown key" in output) == (2, True), output


def test_services_do_not_collide():
    ports = [
        value for each in PROGRAMS.values() for key, value in each.env.items() if key.endswith("_PORT") and value != "0"
    ]
    ports += [port for name in BROKERS for port in ports_of(name)]
    assert len(ports) == len(set(ports)) == 3 + 3 * 3 + 2 + 3 * 2
    volumes = [volume for service in SERVICES.values() for volume in service["volumes"] if ":" in volume]
    assert len(volumes) == len(set(volumes))
    assert {volume.partition(":")[0] for volume in volumes} == set(yaml.safe_load(COMPOSE.read_text())["volumes"])
    assert [name for name, each in PROGRAMS.items() if each.is_slave] == ["slave-1", "slave-2", "slave-3", "slave"]
    assert PROGRAMS["slave"].scale == 0
    for name, service in SERVICES.items():
        assert service["network_mode"] == "host"
        assert not service.get("privileged")
        assert service["cap_drop"] == ["ALL"]
        if name in PROGRAMS and not PROGRAMS[name].ends:
            assert service["healthcheck"]["test"][:3] == ["CMD", "airnode", "health"]


def test_the_pipeline_starts_after_init_and_holds_no_secret_of_the_cluster():
    assert PROGRAMS.keys() ^ SERVICES.keys() == set(BROKERS)
    assert tuple(name for name, each in PROGRAMS.items() if "pipeline" in each.profiles) == PIPELINE
    assert [name for name, each in PROGRAMS.items() if each.ends] == ["pipeline-init"]
    assert PROGRAMS["pipeline-init"].after == ("master",)
    for name in BROKERS:
        waits = SERVICES["pipeline-init"]["depends_on"][name]
        assert waits == {"condition": "service_healthy", "required": False}
        assert SERVICES[name]["profiles"] == ["kafka"]
    for name in PIPELINE:
        assert {"JWT_SECRET_KEY", "AIRNODE_CLUSTER__TOKEN"}.isdisjoint(PROGRAMS[name].env)
        if name != "pipeline-init":
            waits = SERVICES[name]["depends_on"]
            assert waits == {"pipeline-init": {"condition": "service_completed_successfully"}}
    # Any number of them: nothing that only one can have.
    consumer = PROGRAMS["consumer"]
    assert (consumer.env["AIRNODE_HTTP__PORT"], "AIRNODE_NODE__NAME" in consumer.env) == ("0", False)
    assert SERVICES["consumer"]["volumes"] == ["/var/lib/airnode"]


def broker(name: str) -> dict[str, str]:
    """The environment of a broker, as Compose makes it."""
    return {key: interpolated(str(value), {}) for key, value in SERVICES[name]["environment"].items()}


def ports_of(name: str) -> list[str]:
    """Of a broker: for clients, for controllers."""
    return re.findall(r":(\d+)", broker(name)["KAFKA_LISTENERS"])


def test_three_brokers_form_a_cluster_and_lose_nothing_when_one_is_away():
    voters = [f"{number}@127.0.0.1:{ports_of(name)[1]}" for number, name in enumerate(BROKERS, 1)]
    for number, name in enumerate(BROKERS, 1):
        env = broker(name)
        assert env["KAFKA_NODE_ID"] == str(number)
        assert env["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",") == voters
        client = f"127.0.0.1:{ports_of(name)[0]}"
        assert env["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{client}"
        assert interpolated(SERVICES[name]["healthcheck"]["test"][-1], {}) == client
        assert (env["KAFKA_DEFAULT_REPLICATION_FACTOR"], env["KAFKA_MIN_INSYNC_REPLICAS"]) == ("3", "2")
        assert [volume.partition(":")[2] for volume in SERVICES[name]["volumes"]] == [env["KAFKA_LOG_DIRS"]]
        assert len(base64.urlsafe_b64decode(env["CLUSTER_ID"] + "==")) == 16
    # The brokers that the tests run are of the same release, and the example names these.
    pom = (ROOT / "tests" / "kafka" / "pom.xml").read_text()
    image = interpolated(SERVICES["kafka-1"]["image"], {})
    assert re.search(rf"<version>{re.escape(image.rpartition(':')[2])}</version>", pom)
    assert ",".join(f"127.0.0.1:{ports_of(name)[0]}" for name in BROKERS) in EXAMPLE.read_text()


def test_compose_waits_longer_than_airnode_takes_to_stop():
    for each in PROGRAMS.values():
        assert each.grace_s > Settings().drain.deadline_s


def test_compose_refuses_to_start_without_secrets():
    for name in SECRETS:
        with pytest.raises(TopologyError, match=f"{name} is missing; make cluster-up makes it"):
            read(COMPOSE, {**SECRETS, name: ""})


async def test_secrets_are_generated_once_and_private(tmp_path: Path):
    make, file = str(COMPOSE.with_name("make-env")), tmp_path / ".env"
    assert await command(make, str(file)) == (0, "")
    made = variables_of(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.keys() == variables_of(COMPOSE.with_name(".env.example")).keys()
    assert all(re.fullmatch("[0-9a-f]{64}", made[name]) for name in SECRETS)
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    file.write_text(file.read_text().replace(made["AIRNODE_CLUSTER__TOKEN"], "") + "NODE_HOST=school.example\n")
    file.chmod(0o644)
    assert await command(make, str(file)) == (0, "")
    again = variables_of(file)
    assert again["JWT_SECRET_KEY"] == made["JWT_SECRET_KEY"]
    assert again["AIRNODE_CLUSTER__TOKEN"] not in ("", made["AIRNODE_CLUSTER__TOKEN"])
    assert again["NODE_HOST"] == "school.example"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert "/deploy/compose/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_file_reads_its_variables_and_no_others():
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text())) - {"AIRNODE_IMAGE", "KAFKA_IMAGE"}
    assert used == variables_of(COMPOSE.with_name(".env.example")).keys()


def test_variables_are_substituted_as_compose_does():
    values = {"SET": "x", "EMPTY": ""}
    for text, becomes in {
        "a ${SET} b": "a x b",
        "${EMPTY:-d}": "d",
        "${EMPTY-d}": "",
        "${NONE-d}": "d",
        "${NONE}": "",
        "$$SET": "$SET",
        "${SET:?said}": "x",
    }.items():
        assert interpolated(text, values) == becomes
    with pytest.raises(TopologyError, match="NONE said"):
        interpolated("${NONE?said}", values)
    assert (seconds("30s"), seconds("1m30s"), seconds("2m")) == (30, 90, 120)
    with pytest.raises(TopologyError, match="no duration"):
        seconds("half an hour")


def test_the_number_of_slaves():
    programs = list(PROGRAMS.values())
    assert [each.name for each in chosen(programs, 2)] == ["master", "slave-1", "slave-2"]
    assert [each.name for each in chosen(programs, 5)][-2:] == ["slave-4", "slave-5"]
    with pytest.raises(TopologyError, match="3 slaves"):
        chosen(programs[:4], 4)


def test_a_profile_adds_its_services_and_the_number_of_consumers():
    programs = list(PROGRAMS.values())
    assert [each.name for each in chosen(programs, 1, ["pipeline"])] == ["master", *PIPELINE, "slave-1"]
    three = [each.name for each in chosen(programs, 1, ["pipeline"], consumers=3)]
    assert three == ["master", *PIPELINE[:-1], "consumer-1", "consumer-2", "consumer-3", "slave-1"]
    for profile in ("kafka", "pipelin"):  # brokers are containers only
        with pytest.raises(TopologyError, match=f"no service that airnode runs has the profile '{profile}'"):
            chosen(programs, 1, [profile])


def dockerfile() -> list[str]:
    """Its instructions, one a line."""
    text = (COMPOSE.with_name("Dockerfile")).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_from_files_that_exist():
    ignored = COMPOSE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[1] == "*"
    copied = {name for line in dockerfile() if line.startswith("COPY") for name in line.split()[1:-1]}
    assert copied <= let_in
    for name in let_in:
        assert (ROOT / name).exists(), name
    hatch = (ROOT / "pyproject.toml").read_text()
    for name in re.findall(r'^(?:readme|license-files) = \[?"([^"]+)"', hatch, re.M):
        assert name in copied
    assert any(fnmatch.fnmatch("airnode/__pycache__", each) for each in ignored)


def test_the_image_runs_as_an_ordinary_user_and_stops_as_airnode_does():
    last = dockerfile()[max(n for n, line in enumerate(dockerfile()) if line.startswith("FROM")) :]
    assert "USER airnode" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert 'ENTRYPOINT ["airnode"]' in last
    assert last.index("USER airnode") > max(n for n, line in enumerate(last) if line.startswith("RUN"))
    data_dir = next(line.partition("=")[2] for line in last if line.startswith("ENV AIRNODE_NODE__DATA_DIR"))
    assert f"VOLUME {data_dir}" in last
    for name, program in PROGRAMS.items():
        assert program.ends or SERVICES[name]["healthcheck"]["test"][-1] == data_dir
        assert all(volume.rpartition(":")[2] == data_dir for volume in SERVICES[name]["volumes"])


# -- systemd ----------------------------------------------------------------------------------------------------------

SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = SYSTEMD / "airnode@.service"


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


class Systemd:
    """What systemd does with the unit: the environment, the command, a socket that receives its notifications."""

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


@pytest.mark.parametrize("role", ["standalone", "master", "slave", "cache-worker", "producer", "consumer"])
async def test_systemd_accepts_the_unit(tmp_path: Path, role: str):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: it comes with systemd")
    # Verification wants the command and the files to be there.
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
    code, output = await command(AIRNODE, "config", "check", env=bare_env(**values))
    assert code == 0, output
    for name in variables_of(SYSTEMD / f"{role}.env"):
        assert name in named
