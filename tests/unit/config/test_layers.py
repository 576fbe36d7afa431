"""Layers: which value wins, and where each came from."""

from pathlib import Path

import pytest
from pydantic import Field

from airnode.config import Flag, load, parse_set
from airnode.config.keys import RoleKeys
from airnode.config.sections.base import Section
from airnode.config.sources import ENV_LEGACY
from airnode.errors import ConfigError

SECRET = "f3" * 20


class TranscoderSection(Section):
    """A third party's role."""

    preset: str = Field(default="fast", description="Preset.")
    workers: int = Field(default=2, ge=1, le=8, description="Workers.")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_layer_all_values_are_defaults() -> None:
    loaded = load(flags={}, files=[], env={})
    assert loaded.settings.http.port == 8000
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.origins.keys() == loaded.index.keys.keys()
    assert loaded.files == ()


def test_flags_beat_environment_beats_later_file_beats_earlier_file_beats_default(tmp_path: Path) -> None:
    first = write(
        tmp_path / "a.toml", "[hls]\nsegment_count = 4\nsegment_duration_s = 2\ngrace_s = 3\npart_target_ms = 100"
    )
    second = write(tmp_path / "b.toml", "[hls]\nsegment_count = 5\nsegment_duration_s = 3\ngrace_s = 4")
    env = {"AIRNODE_HLS__SEGMENT_COUNT": "6", "AIRNODE_HLS__SEGMENT_DURATION_S": "4"}
    loaded = load(flags={"hls.segment_count": "8"}, files=[first, second], env=env)
    hls = loaded.settings.hls
    assert (hls.segment_count, hls.segment_duration_s, hls.grace_s, hls.part_target_ms) == (8, 4, 4, 100)
    assert loaded.origins["hls.segment_count"] == "flag --set"
    assert loaded.origins["hls.segment_duration_s"] == "env AIRNODE_HLS__SEGMENT_DURATION_S"
    assert loaded.origins["hls.grace_s"] == f"file {second}"
    assert loaded.origins["hls.part_target_ms"] == f"file {first}"
    assert loaded.origins["hls.low_latency"] == "default"
    assert loaded.files == (first, second)


def test_flag_names_its_option() -> None:
    assert load(flags={"http.port": Flag("1", "--port")}, files=[], env={}).origins["http.port"] == "flag --port"


LEGACY_VALUES: dict[str, tuple[str, object]] = {
    "JWT_SECRET_KEY": (SECRET, SECRET),
    "MASTER_URL": ("http://10.0.0.1:8000", "http://10.0.0.1:8000"),
    "NODE_NAME": ("room-5", "room-5"),
    "NODE_HOST": ("10.0.0.2", "10.0.0.2"),
    "MAX_CONNECTIONS": ("200", 200),
    "REDIS_URL": ("redis://cache:6379/1", "redis://cache:6379/1"),
    "REDIS_HOST": ("cache", "cache"),
    "REDIS_PORT": ("6380", 6380),
    "REDIS_PASSWORD": ("p,w", "p,w"),
    "POSTGRES_HOST": ("db", "db"),
    "POSTGRES_USER": ("teacher", "teacher"),
    "POSTGRES_PASSWORD": ("[x]", "[x]"),
    "POSTGRES_DB": ("school", "school"),
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka-1:9092,kafka-2:9092", ("kafka-1:9092", "kafka-2:9092")),
    "KAFKA_ENABLED": ("false", False),
    "CACHE_REFRESH_INTERVAL": ("5", 5.0),
    "CACHE_BATCH_SIZE": ("500", 500),
    "CACHE_NEW_DATA_RATIO": ("0.25", 0.25),
    "PORT": ("9000", 9000),
    "QUEUE_NAME": ("long-files", ("long-files",)),
    "WORKER_ID": ("worker-1", "worker-1"),
    "MAX_CHUNKS": ("3", 3),
    "MAX_CONCURRENT_CHUNKS": ("4", 4),
    "WHISPER_CACHE_DIR": ("/models", Path("/models")),
    "OPENAI_API_KEY": (SECRET, SECRET),
    "OPENAI_BASE_URL": ("https://api.test/v1", "https://api.test/v1"),
    "ALLOWED_ORIGINS": ("https://a.test, https://b.test:8443,", ("https://a.test", "https://b.test:8443")),
    "LOG_LEVEL": ("DEBUG", "debug"),
}


def test_every_legacy_name_has_a_case() -> None:
    assert LEGACY_VALUES.keys() == ENV_LEGACY.keys()


def revealed(value: object) -> object:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


@pytest.mark.parametrize("name", sorted(ENV_LEGACY))
def test_legacy_name_sets_its_key(name: str) -> None:
    text, expected = LEGACY_VALUES[name]
    loaded = load(flags={}, files=[], env={name: text})
    assert revealed(loaded.value(ENV_LEGACY[name])) == expected
    assert loaded.origins[ENV_LEGACY[name]] == f"env {name}"


@pytest.mark.parametrize("name", sorted(ENV_LEGACY))
def test_empty_legacy_name_counts_as_unset(name: str) -> None:
    loaded = load(flags={}, files=[], env={name: ""})
    assert loaded.origins[ENV_LEGACY[name]] == "default"


@pytest.mark.parametrize("name", sorted(ENV_LEGACY))
def test_full_name_wins_over_legacy_name_and_says_so(name: str) -> None:
    key = load(flags={}, files=[], env={}).index.keys[ENV_LEGACY[name]]
    other = {"log.level": "error", "http.allowed_origins": "https://c.test", "auth.jwt_secret": "e4" * 20}
    other |= {"redis.url": "redis://other", "cluster.master_url": "http://other"}
    other |= {"speech.queues": "short-files"}
    other |= {"speech.remote_url": "http://other"}
    other |= {"kafka.bootstrap": "other:9092", "kafka.enabled": "off", "cache.new_data_ratio": "0.75"}
    value = other.get(key.path, "77")
    loaded = load(flags={}, files=[], env={name: LEGACY_VALUES[name][0], key.env: value})
    assert loaded.origins[key.path] == f"env {key.env}"
    assert f"env {name} is not used: env {key.env} is set" in loaded.warnings


def test_no_warning_when_both_names_agree() -> None:
    assert load(flags={}, files=[], env={"PORT": "9", "AIRNODE_HTTP__PORT": "9"}).warnings == ()


@pytest.mark.parametrize(("given", "level"), [("warn", "warning"), ("Critical", "error"), ("Info", "info")])
def test_legacy_log_levels_of_other_programs(given: str, level: str) -> None:
    assert load(flags={}, files=[], env={"LOG_LEVEL": given}).settings.log.level == level


def test_service_links_of_kubernetes_are_passed_over() -> None:
    env = {
        "REDIS_PORT": "tcp://10.0.0.11:6379",
        "AIRNODE_PORT": "tcp://10.0.0.12:8000",
        "AIRNODE_MASTER_PORT": "tcp://10.0.0.12:8000",
        "AIRNODE_SERVICE_HOST": "10.0.0.12",
        "AIRNODE_MASTER_SERVICE_PORT_HTTP": "8000",
        "AIRNODE_MASTER_PORT_8000_TCP_ADDR": "10.0.0.12",
    }
    loaded = load(flags={}, files=[], env=env)
    assert loaded.origins["redis.port"] == "default"
    assert loaded.warnings == ("env REDIS_PORT is not used: it is a service link of the platform, not a port",)


def test_reserved_names_are_no_keys(tmp_path: Path) -> None:
    env = {"AIRNODE_TEST_REQUIRE": "redis", "AIRNODE_CONFIG": str(write(tmp_path / "c.toml", "[http]\nport = 5"))}
    assert load(flags={}, files=[], env=env).settings.http.port == 5


def test_airnode_config_names_several_files_and_config_replaces_it(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.toml", "http.port = 1"), write(tmp_path / "b.toml", "http.port = 2")
    env = {"AIRNODE_CONFIG": f"{first}:{second}"}
    assert load(flags={}, files=[], env=env).files == (first, second)
    assert load(flags={}, files=[first], env=env).settings.http.port == 1


@pytest.mark.parametrize(
    "text",
    ["https://a.test,https://b.test", '["https://a.test", "https://b.test"]', "['https://a.test','https://b.test',]"],
)
def test_lists_from_text(text: str) -> None:
    for loaded in (
        load(flags={"http.allowed_origins": text}, files=[], env={}),
        load(flags={}, files=[], env={"AIRNODE_HTTP__ALLOWED_ORIGINS": text}),
    ):
        assert loaded.settings.http.allowed_origins == ("https://a.test", "https://b.test")


def test_empty_list_from_text() -> None:
    assert load(flags={"http.allowed_origins": ""}, files=[], env={}).settings.http.allowed_origins == ()


def test_durations_and_sizes_in_every_layer(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.toml", '[hls]\ngrace_s = "2m"\n[http]\nmax_body_bytes = "2MB"\n[redis]\nconnect_timeout_s = 1.5'
    )
    env = {"AIRNODE_AUTH__TOKEN_TTL_S": "2h", "AIRNODE_HLS__SEGMENT_MAX_BYTES": "5MiB"}
    settings = load(flags={"drain.delay_s": "300ms"}, files=[file], env=env).settings
    assert settings.hls.grace_s == 120
    assert settings.http.max_body_bytes == 2_000_000
    assert settings.redis.connect_timeout_s == 1.5
    assert settings.auth.token_ttl_s == 7200
    assert settings.hls.segment_max_bytes == 5 << 20
    assert settings.drain.delay_s == pytest.approx(0.3)


def test_empty_text_unsets_what_may_be_unset(tmp_path: Path) -> None:
    file = write(tmp_path / "a.toml", '[rtmp]\ntls_port = 1936\ntls_cert = "c"\ntls_key = "k"')
    env = {f"AIRNODE_RTMP__TLS_{name}": "" for name in ("PORT", "CERT", "KEY")}
    rtmp = load(flags={}, files=[file], env=env).settings.rtmp
    assert (rtmp.tls_port, rtmp.tls_cert, rtmp.tls_key) == (None, None, None)


def test_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(flags={}, files=[], env={}).settings.node.data_dir == tmp_path / ".airnode"


def test_file_with_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbf[http]\r\nport = 7\r\n")
    assert load(flags={}, files=[file], env={}).settings.http.port == 7


class TestSecretFiles:
    """``<key>_file``."""

    @pytest.fixture
    def secret_file(self, tmp_path: Path) -> Path:
        return write(tmp_path / "jwt", f"  {SECRET}\n")

    def test_in_a_file(self, tmp_path: Path, secret_file: Path) -> None:
        file = write(tmp_path / "a.toml", f'[auth]\njwt_secret_file = "{secret_file}"')
        loaded = load(flags={}, files=[file], env={})
        assert loaded.settings.auth.jwt_secret.get_secret_value() == SECRET
        assert loaded.origins["auth.jwt_secret"] == f"file {file}"

    def test_in_the_environment_and_as_a_flag(self, secret_file: Path) -> None:
        by_env = load(flags={}, files=[], env={"AIRNODE_AUTH__JWT_SECRET_FILE": str(secret_file)})
        by_flag = load(flags={"auth.jwt_secret_file": str(secret_file)}, files=[], env={})
        for loaded in (by_env, by_flag):
            assert loaded.settings.auth.jwt_secret.get_secret_value() == SECRET
        assert by_env.origins["auth.jwt_secret"] == "env AIRNODE_AUTH__JWT_SECRET_FILE"

    def test_higher_layer_wins_and_the_lower_file_is_not_even_read(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.toml", '[auth]\njwt_secret_file = "/nowhere/at/all"')
        loaded = load(flags={}, files=[file], env={"JWT_SECRET_KEY": SECRET})
        assert loaded.settings.auth.jwt_secret.get_secret_value() == SECRET

    def test_empty_name_counts_as_unset(self) -> None:
        loaded = load(flags={}, files=[], env={"AIRNODE_AUTH__JWT_SECRET_FILE": ""})
        assert loaded.origins["auth.jwt_secret"] == "default"

    def test_both_in_one_layer_are_an_error(self, secret_file: Path) -> None:
        env = {"AIRNODE_AUTH__JWT_SECRET": SECRET, "AIRNODE_AUTH__JWT_SECRET_FILE": str(secret_file)}
        with pytest.raises(ConfigError, match=r"auth\.jwt_secret: give auth\.jwt_secret or .*_file, not both"):
            load(flags={}, files=[], env=env)

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe", "not UTF-8"), (b"x" * 70_000, "too large")],
    )
    def test_unusable_file(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=message) as caught:
            load(flags={}, files=[], env={"AIRNODE_AUTH__JWT_SECRET_FILE": str(path)})
        assert str(path) in str(caught.value)

    def test_only_secrets_have_files(self) -> None:
        with pytest.raises(ConfigError, match=r"http\.port_file: unknown key"):
            load(flags={"http.port_file": "x"}, files=[], env={})


class TestRoleSections:
    """``[roles.<name>]``."""

    def test_all_layers(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.toml", '[roles.transcoder-x]\npreset = "slow"')
        loaded = load(
            flags={},
            files=[file],
            env={"AIRNODE_ROLES__TRANSCODER_X__WORKERS": "5"},
            role_keys=RoleKeys({"transcoder-x": TranscoderSection}),
        )
        assert loaded.roles["transcoder-x"] == TranscoderSection(preset="slow", workers=5)
        assert loaded.value("roles.transcoder-x.workers") == 5
        assert loaded.origins["roles.transcoder-x.preset"] == f"file {file}"

    def test_defaults(self) -> None:
        assert load(flags={}, files=[], env={}, role_keys=RoleKeys({"t": TranscoderSection})).roles == {
            "t": TranscoderSection()
        }

    def test_wrong_values_typos_and_unknown_roles(self) -> None:
        flags = {"roles.transcoder.workers": "99", "roles.transcoder.presett": "x", "roles.transcodr.preset": "x"}
        with pytest.raises(ConfigError) as caught:
            load(flags=flags, files=[], env={}, role_keys=RoleKeys({"transcoder": TranscoderSection}))
        text = str(caught.value)
        assert "roles.transcoder.workers: must be from 1 to 8 (got '99', from flag --set)" in text
        assert "roles.transcoder.presett: unknown key (from flag --set); did you mean roles.transcoder.preset?" in text
        assert (
            "roles.transcodr: no installed role has such a section (from flag --set); did you mean roles.transcoder?"
            in text
        )


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("http.port=1", ("http.port", "1")),
        ("a.b=x=y", ("a.b", "x=y")),
        (" a.b =", ("a.b", "")),
        ("roles.x-y.z= 1", ("roles.x-y.z", " 1")),
    ],
)
def test_parse_set(text: str, parsed: tuple[str, str]) -> None:
    assert parse_set(text) == parsed


@pytest.mark.parametrize("text", ["", "http.port", "=1", "port=1", "http.port 1", ".a=1", "a.=1", "a..b=1", "a b.c=1"])
def test_parse_set_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set: needs .*such as --set hls\.segment_count=5"):
        parse_set(text)


def test_parse_set_never_shows_the_value() -> None:
    for text in ("auth.jwt_secret:hunter2hunter2", "jwt_secret=hunter2hunter2", "a b=hunter2hunter2"):
        with pytest.raises(ConfigError) as caught:
            parse_set(text)
        assert "hunter2" not in str(caught.value)
