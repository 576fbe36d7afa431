"""What the command line answers to somebody who does not know it yet."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from airnode.cli import cli
from airnode.commands import top
from airnode.commands.health import check_default, check_local
from airnode.commands.top_view import render
from airnode.errors import StartupError


@pytest.mark.parametrize("args", [["--host", "127.0.0.1"], ["--set", "hls.segment_count=5"], ["--config", "a.toml"]])
def test_options_of_a_node_without_a_role_ask_for_one(args: list[str]):
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 2
    assert "Give a role, e.g. --role standalone" in result.stderr


def test_no_option_at_all_shows_the_help():
    result = CliRunner().invoke(cli, [])
    assert (result.exit_code, result.stdout.startswith("Usage:")) == (0, True)


@pytest.mark.parametrize(
    ("word", "role"), [("standalone", "standalone"), ("slave", "slave"), ("start", "standalone"), ("run", "standalone")]
)
def test_a_role_in_the_place_of_a_command_is_recognised(word: str, role: str):
    result = CliRunner().invoke(cli, [word])
    assert result.exit_code == 2
    assert f"did you mean --role {role}?" in result.stderr


def test_another_word_is_just_no_command():
    result = CliRunner().invoke(cli, ["helth"])
    assert result.exit_code == 2
    assert "--role" not in result.stderr


def test_health_without_a_node_says_how_to_name_one(tmp_path: Path):
    report = check_default("http://127.0.0.1:9", ready=False, timeout_s=1.0)
    assert report.body["detail"] == (
        "Nothing listens at http://127.0.0.1:9; is the node running? Give the address of a node, or --data-dir."
    )
    assert "or the address of a node" in check_local(tmp_path, ready=False, timeout_s=1.0).text()


# -- top --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoints", "says"),
    [
        (
            {"rtmp_server": "rtmp://x/live", "master_url": "http://m:8000"},
            "That node is a slave; ask its master at http",
        ),
        ({"master_url": "http://m:8000"}, "That node is no master; ask its master at http://m:8000: airnode top http"),
        ({"rtmp_server": "rtmp://x/live"}, "ask its master by its address"),
    ],
)
def test_top_at_another_node_than_a_master_names_the_master(tmp_path: Path, endpoints: dict[str, str], says: str):
    (tmp_path / "endpoints.json").write_text(json.dumps({"api_url": "http://x:8000", **endpoints}))
    with pytest.raises(StartupError, match=says):
        top.find_target("", "", tmp_path)


class _Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403 if "Authorization" in self.headers else 401)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refusing_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("secret", "says"),
    [("wrong", "The master refuses this secret; give --secret"), ("", "The master wants a secret; give --secret")],
)
@pytest.mark.parametrize("width", [60, 80])
def test_top_says_that_the_secret_is_refused(refusing_url: str, secret: str, says: str, width: int):
    shot = top.poll(top.Target(refusing_url, secret), None, 5.0)
    assert shot.error.startswith(says)
    file = StringIO()
    Console(file=file, width=width).print(render(shot, height=24, width=width))
    text = file.getvalue()
    assert says in text
    assert "…" not in text
    for wrong in ("unreachable", "does not answer"):
        assert wrong not in text
