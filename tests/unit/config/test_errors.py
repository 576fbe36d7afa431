"""Errors: all at once, in words, with a guess."""

from pathlib import Path

import pytest

from airnode.config import Flag, load
from airnode.config.problems import ConfigProblem
from airnode.errors import ConfigError


def problems(
    *, flags: dict[str, object] | None = None, files: list[Path] | None = None, env: dict[str, str] | None = None
) -> list[str]:
    """The lines of the error, without the headline."""
    with pytest.raises(ConfigError) as caught:
        load(flags=flags or {}, files=files or [], env=env or {})
    headline, *lines = str(caught.value).splitlines()
    count = len(caught.value.errors)
    assert headline == f"airnode: configuration is invalid ({count} problem{'s' if count > 1 else ''})"
    assert all(line.startswith("  ") for line in lines)
    assert lines == [f"  {error}" for error in caught.value.errors]
    return [line.strip() for line in lines]


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "airnode.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    toml(tmp_path, "[hls]\nsegmnt_count = 10")
    env = {"AIRNODE_REDIS__CONNECT_TIMEOUT_S": "fast", "AIRNODE_REDISS__URL": "redis://x"}
    with pytest.raises(ConfigError) as caught:
        load(flags={}, files=[Path("airnode.toml")], env=env)
    assert str(caught.value) == (
        "airnode: configuration is invalid (3 problems)\n"
        '  redis.connect_timeout_s: must be a number of seconds, such as 5, "300ms" or "2m"'
        " (got 'fast', from env AIRNODE_REDIS__CONNECT_TIMEOUT_S)\n"
        "  hls.segmnt_count: unknown key (got 10, from file airnode.toml); did you mean hls.segment_count?\n"
        "  rediss: unknown section (from env AIRNODE_REDISS__URL); did you mean redis?"
    )


def test_all_layers_and_all_kinds_of_problem_at_once(tmp_path: Path) -> None:
    file = toml(tmp_path, '[hls]\ngrace_s = -1\n[cluster]\nlease_s = 1\n[nod]\nname = "x"\n')
    lines = problems(
        flags={"http.port": Flag("x", "--port"), "redis.url": "http://a"},
        files=[tmp_path / "missing.toml", file],
        env={"LOG_LEVEL": "loud", "JWT_SECRET_KEY": "short", "AIRNODE_HTTP_PORT": "1"},
    )
    assert [line.partition(":")[0] for line in lines] == [
        f"file {tmp_path / 'missing.toml'}",
        "http.port",
        "hls.grace_s",
        "log.level",
        "cluster.lease_s",
        "redis.url",
        "auth.jwt_secret",
        "nod",
        "AIRNODE_HTTP_PORT",
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("http.port", "x", "must be a whole number, from 0 to 65535 (got 'x', from flag --set)"),
        ("http.port", "1.5", "must be a whole number, from 0 to 65535 (got '1.5', from flag --set)"),
        ("http.port", "65536", "must be from 0 to 65535 (got '65536', from flag --set)"),
        ("http.port", True, "must be a whole number, from 0 to 65535 (got true, from flag --set)"),
        ("http.port", "", "must be a whole number, from 0 to 65535 (got '', from flag --set)"),
        ("hls.segment_count", "2", "must be from 3 to 100 (got '2', from flag --set)"),
        ("hls.grace_s", "-1", "must be at least 0 seconds (got '-1', from flag --set)"),
        (
            "hls.grace_s",
            "inf",
            'must be a number of seconds, such as 5, "300ms" or "2m" (got \'inf\', from flag --set)',
        ),
        (
            "hls.grace_s",
            "9 weeks",
            "has an unknown unit of time 'weeks'; use ms, s, m, h or d (got '9 weeks', from flag --set)",
        ),
        ("redis.connect_timeout_s", "0", "must be more than 0 seconds (got '0', from flag --set)"),
        (
            "http.max_body_bytes",
            "big",
            'must be a size in bytes, such as 65536, "512KiB" or "5MiB", at least 1024 (got \'big\', from flag --set)',
        ),
        ("http.max_body_bytes", "5", "must be at least 1024 bytes (got '5', from flag --set)"),
        ("hls.low_latency", "maybe", "must be true or false (got 'maybe', from flag --set)"),
        ("log.level", "loud", "must be one of debug, info, warning, error (got 'loud', from flag --set)"),
        ("log.level", 3, "must be one of debug, info, warning, error (got 3, from flag --set)"),
        ("node.name", 5, "must be text (got 5, from flag --set)"),
        ("node.data_dir", "", "must be a path (got '', from flag --set)"),
        ("http.allowed_origins", "[1", 'must be a list of texts, such as ["a", "b"] (got \'[1\', from flag --set)'),
        ("http.allowed_origins", [1, 2], 'must be a list of texts, such as ["a", "b"] (got [1, 2], from flag --set)'),
        (
            "classes.default_room",
            "A B",
            "must be 1 to 63 of a-z, 0-9, '-' and '_', and begin with a letter or digit (got 'A B', from flag --set)",
        ),
        ("auth.jwt_secret", 5, "must be text (from flag --set)"),
    ],
)
def test_wrong_value_in_words(key: str, value: object, message: str) -> None:
    assert problems(flags={key: value}) == [f"{key}: {message}"]


def test_huge_numbers_are_refused_and_do_not_crash() -> None:
    lines = problems(flags={"hls.grace_s": "9" * 400 + "s", "http.port": "9" * 5000, "redis.port": 10**30})
    assert len(lines) == 3
    assert all(len(line) < 200 for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[hls]\nsegmnt_count = 10",
            "hls.segmnt_count: unknown key (got 10, from file {}); did you mean hls.segment_count?",
        ),
        (
            "[hls]\nport = 10",
            "hls.port: unknown key (got 10, from file {}); did you mean http.port or media.port or rtmp.port?",
        ),
        ("port = 80", "port: unknown key (got 80, from file {}); did you mean http.port or media.port or rtmp.port?"),
        ("[htttp]\nport = 80\nhost = 'x'", "htttp: unknown section (from file {}); did you mean http?"),
        ("[HTTP]\nport = 80", "HTTP: unknown section (from file {}); did you mean http?"),
        ("[zzzzzz]\nport = 80", "zzzzzz: unknown section (from file {})"),
        ("[roles.x]\ny = 1", "roles.x: no installed role has such a section (from file {})"),
        ("http = 5", "http: is a section; set one of its keys, such as http.host (from file {})"),
        ("[[http]]\nport = 5", "http: is a section; set one of its keys, such as http.host (from file {})"),
        ("[http.port]\nx = 5", "http.port: must be a whole number, from 0 to 65535 (got a table, from file {})"),
        ("[http.tls]\nx = 5", "http.tls: unknown key (from file {})"),
    ],
)
def test_typos_in_files(tmp_path: Path, text: str, message: str) -> None:
    file = toml(tmp_path, text)
    (line,) = problems(files=[file])
    assert line.startswith(message.format(file))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AIRNODE_HTTP_PORT", "AIRNODE_HTTP_PORT: unknown environment variable; did you mean AIRNODE_HTTP__PORT?"),
        (
            "AIRNODE_PORT",
            "AIRNODE_PORT: unknown environment variable; did you mean AIRNODE_HTTP__PORT or AIRNODE_MEDIA__PORT "
            "or AIRNODE_RTMP__PORT?",
        ),
        ("AIRNODE_CONFG", "AIRNODE_CONFG: unknown environment variable; did you mean AIRNODE_CONFIG?"),
        ("AIRNODE_QQQQQQ", "AIRNODE_QQQQQQ: unknown environment variable"),
        (
            "AIRNODE_HLS__SEGMNT_COUNT",
            "hls.segmnt_count: unknown key (from env AIRNODE_HLS__SEGMNT_COUNT); did you mean hls.segment_count?",
        ),
        ("AIRNODE_REDISS__URL", "rediss: unknown section (from env AIRNODE_REDISS__URL); did you mean redis?"),
        ("AIRNODE_HTTP__PORT__X", "http.port.x: unknown key (from env AIRNODE_HTTP__PORT__X); did you mean http.port?"),
    ],
)
def test_typos_in_the_environment(name: str, message: str) -> None:
    assert problems(env={name: "5"}) == [message]


def test_typos_in_flags() -> None:
    assert problems(flags={"htp.port": "5", "http": "5"}) == [
        "htp: unknown section (from flag --set); did you mean http?",
        "http: is a section; set one of its keys, such as http.host (from flag --set)",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[http]\nport = = 5\n", "line 2, column 8: not TOML: invalid value"),
        (b'[http]\nname = "x', "end of file: not TOML: unterminated string"),
        (b"[http]\nport = 5\nport = 6\n", "line 3, column 9: not TOML: cannot overwrite a value"),
        (b"\xff\xfe[http]", "is not UTF-8 text (byte 0)"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"#" * (2 << 20), "larger than 1 MiB"),
        (b"x = " + b"9" * 5000, "digits"),
    ],
)
def test_unreadable_toml(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "airnode.toml"
    file.write_bytes(content)
    (line,) = problems(files=[file])
    assert line.startswith(f"file {file}: ")
    assert message in line


def test_directory_and_missing_file(tmp_path: Path) -> None:
    assert problems(files=[tmp_path, tmp_path / "none"]) == [
        f"file {tmp_path}: cannot be read: Is a directory (from flag --config)",
        f"file {tmp_path / 'none'}: cannot be read: No such file or directory (from flag --config)",
    ]
    assert problems(env={"AIRNODE_CONFIG": "/no/where"}) == [
        "file /no/where: cannot be read: No such file or directory (from env AIRNODE_CONFIG)"
    ]


def test_one_problem_reads_in_the_singular() -> None:
    with pytest.raises(ConfigError, match=r"^airnode: configuration is invalid \(1 problem\)\n"):
        load(flags={"http.port": "x"}, files=[], env={})


def test_problem_without_value_and_origin() -> None:
    assert str(ConfigProblem("a.b", "must be set")) == "a.b: must be set"
