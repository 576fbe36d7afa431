"""``airnode config`` as people call it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from pydantic import Field, SecretStr

from airnode.commands.config import ROLE_KEYS, config, painter
from airnode.commands.options import OPTIONS, config_options, loaded_from
from airnode.config import keys, load
from airnode.config.model import Settings
from airnode.config.sections.base import Section

SECRET = "0f" * 20


class TranscoderSection(Section):
    """A third party's role."""

    preset: str = Field(default="fast", description="Preset.")
    license_key: SecretStr = Field(default=SecretStr(""), description="Key.")


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    """Run ``airnode config …`` in an environment with nothing of airnode's but ``env``."""
    names = [name for name in os.environ if name.startswith("AIRNODE_")]
    return CliRunner().invoke(config, args, env={**dict.fromkeys(names), "NO_COLOR": None, **(env or {})})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "airnode.toml"
    path.write_text(
        '[hls]\nsegment_count = 9\n[auth]\njwt_secret = "' + SECRET + '"\n[http]\ntls_key="k"\ntls_cert="c"'
    )
    return path


def test_show_prints_every_key_with_its_origin_as_toml(file: Path) -> None:
    result = run("show", "--config", str(file), "--set", "hls.grace_s=2m", "--port", "0", env={"REDIS_HOST": "cache"})
    assert result.exit_code == 0
    assert result.stderr == ""
    assert tomllib.loads(result.stdout)["hls"]["segment_count"] == 9
    lines = dict(line.split(" = ", 1) for line in result.stdout.splitlines())
    assert lines.keys() == keys.index_of(keys.RoleKeys()).keys.keys()
    assert lines["hls.segment_count"].split() == ["9", "#", "file", str(file)]
    assert lines["hls.grace_s"].split() == ["120", "#", "flag", "--set"]
    assert lines["http.port"].split() == ["0", "#", "flag", "--port"]
    assert lines["redis.host"].split() == ['"cache"', "#", "env", "REDIS_HOST"]
    assert lines["auth.jwt_secret"].startswith('"********"')
    assert lines["log.level"].split() == ['"info"', "#", "default"]
    short = [line for line in result.stdout.splitlines() if line.isascii() and line.index("  # ") < 64]
    assert len(short) > 150
    assert len({line.index("  # ") for line in short}) == 1, "the origins stand in one column"


def test_shown_values_can_be_pasted_into_a_file(tmp_path: Path) -> None:
    shown = run("show", "--set", 'node.name=강의실 "5"\\\t\x7f', "--set", "rtmp.tls_port=").stdout
    (tmp_path / "again.toml").write_text(shown, encoding="utf-8")
    again = load(flags={}, files=[tmp_path / "again.toml"], env={})
    assert again.settings.node.name == '강의실 "5"\\\t\x7f'
    assert again.settings.rtmp == load(flags={}, files=[], env={}).settings.rtmp


def test_show_changed() -> None:
    assert run("show", "--changed").stdout == ""
    result = run("show", "--changed", "--log-level", "debug", env={"PORT": "9"})
    assert [line.partition(" = ")[0] for line in result.stdout.splitlines()] == ["http.port", "log.level"]


def test_show_json(file: Path) -> None:
    shown = json.loads(run("show", "--json", "--config", str(file)).stdout)
    assert shown["hls.segment_count"] == {"value": 9, "origin": f"file {file}"}
    assert shown["auth.jwt_secret"]["value"] == "********"
    assert shown["rtmp.tls_port"] == {"value": None, "origin": "default"}
    assert shown["http.max_body_bytes"]["value"] == 1 << 20
    assert shown.keys() == keys.index_of(keys.RoleKeys()).keys.keys()
    assert json.loads(run("show", "--json", "--changed").stdout) == {}


def test_check_valid(file: Path) -> None:
    result = run("check", "--config", str(file), env={"REDIS_PORT": "tcp://1.2.3.4:5"})
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "configuration is valid",
        f"  read {file}",
        "  warning: env REDIS_PORT is not used: it is a service link of the platform, not a port",
    ]


def test_check_json_valid(file: Path) -> None:
    result = run("check", "--json", "--config", str(file))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"valid": True, "files": [str(file)], "warnings": [], "problems": []}


@pytest.mark.parametrize("command", ["show", "check"])
def test_invalid_is_exit_code_2_with_the_text_on_stderr(command: str) -> None:
    result = run(command, "--port", "x", "--set", "nonsense", "--set", "htp.port=1")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "airnode: configuration is invalid (3 problems)",
        "  --set: needs key=value, such as --set hls.segment_count=5",
        "  http.port: must be a whole number, from 0 to 65535 (got 'x', from flag --port)",
        "  htp: unknown section (from flag --set); did you mean http?",
    ]


def test_check_json_invalid() -> None:
    result = run("check", "--json", "--port", "x", env={"AIRNODE_HTTP_PORT": "1"})
    assert result.exit_code == 2
    first, second = json.loads(result.stdout)["problems"]
    assert first == {
        "path": "http.port",
        "message": "must be a whole number, from 0 to 65535",
        "got": "'x'",
        "origin": "flag --port",
        "guess": "",
    }
    assert second["guess"] == "AIRNODE_HTTP__PORT"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_reaches_its_key(option: object) -> None:
    values = {"PORT": "0", "URL": "", "LEVEL": "error", "FORMAT": "json", "RATE": "5", "TOPICS": "users"}
    value = values.get(option.metavar, "x")  # type: ignore[attr-defined]
    result = run("show", "--json", "--changed", option.name, value)  # type: ignore[attr-defined]
    assert json.loads(result.stdout)[option.key]["origin"] == f"flag {option.name}"  # type: ignore[attr-defined]


def test_help_of_options_is_in_step_with_the_model() -> None:
    index = keys.index_of(keys.RoleKeys())
    for option in OPTIONS:
        key = index.keys[option.key]
        assert all(choice in option.help for choice in key.choices)
        if key.default not in ("", None):
            default = ",".join(key.default) if isinstance(key.default, tuple) else key.default
            assert f"[default: {default}]" in option.help


def test_named_option_beats_set() -> None:
    result = run(
        "show", "--changed", "--set", "http.port=1", "--port", "2", "--set", "hls.grace_s=1", "--set", "hls.grace_s=2"
    )
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["2", "2"]


@pytest.mark.parametrize("text", ["[hls]\nsegment_cuont = 9\n", "[hls"])
def test_check_as_json_names_the_files_that_are_wrong(tmp_path: Path, text: str) -> None:
    path = tmp_path / "typo.toml"
    path.write_text(text)
    result = run("check", "--config", str(path), "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert (found["valid"], found["files"], len(found["problems"])) == (False, [str(path)], 1)


def test_options_on_another_command(tmp_path: Path) -> None:
    @click.command()
    @config_options
    @click.option("--role")
    def program(**params: object) -> None:
        loaded = loaded_from(params, env={})
        click.echo(f"{params['role']} {loaded.settings.media.port} {loaded.settings.node.data_dir}")

    result = CliRunner().invoke(program, ["--role", "master", "--media-port", "7", "--data-dir", str(tmp_path)])
    assert result.output == f"master 7 {tmp_path}\n"


def test_options_before_the_command_count_too(file: Path) -> None:
    @click.group()
    @config_options
    def program(**_: object) -> None:
        pass

    program.add_command(config)
    runner = CliRunner()
    outer = ["--port", "1", "--media-port", "2", "--config", str(file), "--set", "hls.grace_s=3"]
    args = [*outer, "config", "show", "--changed", "--json", "--port", "9", "--set", "hls.grace_s=4"]
    shown = {path: entry["value"] for path, entry in json.loads(runner.invoke(program, args).stdout).items()}
    assert (shown["http.port"], shown["media.port"], shown["hls.grace_s"], shown["hls.segment_count"]) == (9, 2, 4, 9)
    assert runner.invoke(program, ["--port", "x", "config", "check", "--json"]).exit_code == 2


def test_sections_of_third_party_roles() -> None:
    @click.group()
    @click.pass_context
    def program(context: click.Context) -> None:
        context.meta[ROLE_KEYS] = lambda: keys.RoleKeys(
            {"transcoder": TranscoderSection}, {"speech_token": "For speech."}
        )

    program.add_command(config)
    runner = CliRunner()
    args = [
        "config",
        "show",
        "--changed",
        "--set",
        "roles.transcoder.preset=slow",
        "--set",
        f"roles.transcoder.license_key={SECRET}",
    ]
    assert runner.invoke(program, args).stdout.split() == [
        *("roles.transcoder.preset", "=", '"slow"', "#", "flag", "--set"),
        *("roles.transcoder.license_key", "=", '"********"', "#", "flag", "--set"),
    ]
    assert "[roles.transcoder]" in runner.invoke(program, ["config", "defaults"]).stdout
    schema = json.loads(runner.invoke(program, ["config", "schema"]).stdout)
    role = schema["properties"]["roles"]["properties"]["transcoder"]
    assert role["properties"].keys() == {"preset", "license_key", "license_key_file"}
    cluster = schema["$defs"]["ClusterSection"]["properties"]
    assert {"token", "token_file", "speech_token", "speech_token_file"} <= cluster.keys()


def test_defaults_describe_every_key_and_load_as_they_are_and_uncommented(tmp_path: Path) -> None:
    text = run("defaults").stdout
    index = keys.index_of(keys.RoleKeys())
    names = {f"#{path.rpartition('.')[2]} = " for path in index.keys}
    assert all(any(line.startswith(name) for line in text.splitlines()) for name in names)
    untouched, uncommented = tmp_path / "a.toml", tmp_path / "b.toml"
    untouched.write_text(text, encoding="utf-8")
    lines = (line[1:] if any(line.startswith(name) for name in names) else line for line in text.splitlines())
    uncommented.write_text("\n".join(lines), encoding="utf-8")
    assert load(flags={}, files=[untouched], env={}).settings == Settings()
    loaded = load(flags={}, files=[uncommented], env={})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {f"file {uncommented}"}
    assert max(len(line) for line in text.splitlines()) <= 120


def test_schema_knows_every_key() -> None:
    schema = json.loads(run("schema").stdout)
    assert schema["properties"].keys() == set(Settings.model_fields)
    for path, key in keys.index_of(keys.RoleKeys()).keys.items():
        section, _, name = path.partition(".")
        table = schema["$defs"][schema["properties"][section]["$ref"].rpartition("/")[2]]
        assert table["additionalProperties"] is False
        assert table["properties"][name]["description"] == key.description
        assert (f"{name}_file" in table["properties"]) == (key.kind is keys.KeyKind.SECRET)


@pytest.mark.parametrize("command", ["", "show", "check", "defaults", "schema"])
def test_help_has_examples(command: str) -> None:
    result = run(*([command] if command else []), "--help")
    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert f"airnode config {command}" in result.output


def test_usage_error_is_exit_code_2() -> None:
    assert run("show", "--prot", "1").exit_code == 2


def test_every_key_is_described() -> None:
    for key in keys.index_of(keys.RoleKeys()).keys.values():
        assert key.description.endswith((".", ")"))
        assert key.kind is not keys.KeyKind.OTHER


class Terminal:
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_and_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert painter(Terminal())("x", "red") == "\x1b[31mx\x1b[0m"  # type: ignore[arg-type]
    assert "\x1b" not in run("show").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert painter(Terminal())("x", "red") == "x"  # type: ignore[arg-type]


def test_help_does_not_import_pydantic() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from airnode.commands.config import config;"
        "assert CliRunner().invoke(config, ['show', '--help']).exit_code == 0;"
        "assert not {'pydantic', 'aiohttp', 'rich'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
