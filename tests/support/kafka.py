"""A real Apache Kafka for tests: three brokers (KRaft, also controllers) on loopback; Maven fetches the jars."""

import fcntl
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.ports import free_ports

_PROJECT = Path(__file__).parents[1] / "kafka"
_LIBS = _PROJECT / "target" / "libs"
_BROKERS = 3
#: For short runs: little memory, a quick start.
_JAVA = ("-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
_PROPERTIES = """
process.roles=broker,controller
node.id={node_id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
num.partitions=3
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
"""


def unavailable_reason() -> str:
    """Return the reason why Kafka cannot run on this machine; empty: it can."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    return f"needs {' and '.join(missing)} (Java 17, Maven) for a real Kafka" if missing else ""


class Kafka:
    """Brokers of Kafka; each can be killed and started again.

    Args:
        java: options of the Java virtual machine.
    """

    def __init__(self, directory: Path, java: Sequence[str] = _JAVA, brokers: int = _BROKERS) -> None:
        self._directory = directory
        self._java = java
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        ports = free_ports(2 * brokers)
        self._ports = dict(enumerate(ports[:brokers], 1))
        self._controller_ports = dict(enumerate(ports[brokers:], 1))

    @property
    def bootstrap(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{port}" for port in self._ports.values())

    def start(self) -> "Kafka":
        cluster_id = _kafka_uuid()
        formatting = [self._format(node_id, cluster_id) for node_id in self._ports]
        for process in formatting:
            output, _ = process.communicate(timeout=50)
            assert process.returncode == 0, output.decode()
        for node_id in self._ports:
            self.start_broker(node_id)
        for node_id in self._ports:
            self.wait_for_broker(node_id)
        return self

    def start_broker(self, node_id: int) -> None:
        log = (self._directory_of(node_id) / "broker.log").open("ab")
        self._processes[node_id] = subprocess.Popen(
            [*self._command(), "kafka.Kafka", str(self._directory_of(node_id) / "server.properties")],
            stdout=log,
            stderr=log,
        )
        log.close()

    def wait_for_broker(self, node_id: int, within_s: float = 100) -> None:
        """Wait until the broker accepts connections."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports[node_id]), timeout=1).close()
                return
            except OSError:
                log = (self._directory_of(node_id) / "broker.log").read_text(errors="replace")
                assert self._processes[node_id].poll() is None, f"broker {node_id} ended: {log[-2000:]}"
                assert time.monotonic() < deadline, f"broker {node_id} does not answer: {log[-2000:]}"
                time.sleep(0.1)

    def kill_broker(self, node_id: int) -> None:
        """Kill a broker with SIGKILL."""
        process = self._processes.pop(node_id)
        process.kill()
        process.wait()

    def restart_killed(self) -> None:
        """Start the killed brokers again, and wait for them."""
        killed = self._ports.keys() - self._processes.keys()
        for node_id in killed:
            self.start_broker(node_id)
        for node_id in killed:
            self.wait_for_broker(node_id)

    def close(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self._processes.values():
            process.wait()

    def _command(self) -> list[str]:
        return ["java", *self._java, _QUIET, "-cp", f"{_LIBS}/*"]

    def _directory_of(self, node_id: int) -> Path:
        return self._directory / f"broker-{node_id}"

    def _format(self, node_id: int, cluster_id: str) -> "subprocess.Popen[bytes]":
        directory = self._directory_of(node_id)
        directory.mkdir()
        properties = directory / "server.properties"
        properties.write_text(self._properties(node_id))
        command = [*self._command(), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
        return subprocess.Popen([*command, *self._format_options()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _properties(self, node_id: int) -> str:
        voters = ",".join(f"{each}@127.0.0.1:{port}" for each, port in self._controller_ports.items())
        return _PROPERTIES.format(
            node_id=node_id,
            voters=voters,
            port=self._ports[node_id],
            controller_port=self._controller_ports[node_id],
            directory=self._directory_of(node_id),
        )

    def _format_options(self) -> list[str]:
        return []


def fetch_jars() -> None:
    """Fetch the jars with Maven if they are missing or outdated."""
    _LIBS.parent.mkdir(exist_ok=True)
    with (_LIBS.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _LIBS / ".complete"
        if done.exists() and done.stat().st_mtime >= (_PROJECT / "pom.xml").stat().st_mtime:
            return
        shutil.rmtree(_LIBS, ignore_errors=True)
        command = ["mvn", "-q", "-B", "-f", str(_PROJECT / "pom.xml"), "dependency:copy-dependencies"]
        run = subprocess.run(
            [*command, f"-DoutputDirectory={_LIBS}", "-DincludeScope=runtime"],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert run.returncode == 0, f"Maven did not fetch Kafka's jars: {run.stdout[-2000:]}{run.stderr[-2000:]}"
        done.touch()


def _kafka_uuid() -> str:
    import base64

    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return cluster_id if cluster_id[0] != "-" else _kafka_uuid()  # the tool would parse it as an option


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Yield the brokers. They start at the first use and are shared by all tests; use new topics and groups."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    fetch_jars()
    with tempfile.TemporaryDirectory(prefix="airnode-kafka-", ignore_cleanup_errors=True) as directory:
        brokers = Kafka(Path(directory))
        try:
            yield brokers.start()
        finally:
            brokers.close()
