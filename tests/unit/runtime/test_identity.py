import json
import os
import socket
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from airnode.config.model import Settings
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.node import NodeSection
from airnode.errors import StartupError
from airnode.runtime import endpoints
from airnode.runtime.identity import node_id, node_name, with_own_credentials, with_own_secrets, write_private


def secrets_of(settings: Settings) -> dict[str, str]:
    return {key: getattr(settings.auth, key).get_secret_value() for key in ("jwt_secret", "teacher_secret")}


def test_the_node_keeps_its_id(tmp_path: Path):
    first = node_id(tmp_path)
    assert first.startswith("node-")
    assert node_id(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "node_id").stat().st_mode) == 0o600
    (tmp_path / "node_id").write_text("\n")
    assert node_id(tmp_path) != first


def test_the_name_is_the_configured_one_or_the_machine():
    assert node_name(NodeSection(name="Room 5")) == "Room 5"
    assert node_name(NodeSection()) == (socket.gethostname() or "airnode")


def test_secrets_are_generated_once_and_kept(tmp_path: Path):
    made = secrets_of(with_own_secrets(Settings(), tmp_path))
    assert len(made["jwt_secret"]) >= 32
    assert len(made["teacher_secret"]) >= 12
    assert secrets_of(with_own_secrets(Settings(), tmp_path)) == made
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert secrets_of(with_own_secrets(Settings(), tmp_path / "..")) != made
    (tmp_path / ".." / "secrets.json").unlink()


def test_the_configuration_wins_and_is_not_written(tmp_path: Path):
    settings = Settings(auth=AuthSection(teacher_secret=SecretStr("chalk")))
    found = secrets_of(with_own_secrets(settings, tmp_path))
    assert found["teacher_secret"] == "chalk"
    kept = json.loads((tmp_path / "secrets.json").read_text())
    assert kept["jwt_secret"] == found["jwt_secret"]
    assert "chalk" not in kept.values()
    assert secrets_of(settings)["jwt_secret"] == ""


def test_sign_in_secrets_are_generated_without_a_signing_key(tmp_path: Path):
    settings = Settings(auth=AuthSection(admin_secret=SecretStr("blackboard")))
    found = with_own_credentials(settings, tmp_path)
    assert found.auth.jwt_secret.get_secret_value() == ""
    assert len(found.auth.teacher_secret.get_secret_value()) >= 12
    assert found.auth.admin_secret.get_secret_value() == "blackboard"
    assert json.loads((tmp_path / "secrets.json").read_text()).keys() == {"teacher_secret"}
    assert with_own_credentials(settings, tmp_path) == found


def test_a_missing_secret_is_added_to_those_that_are_there(tmp_path: Path):
    (tmp_path / "secrets.json").write_text(json.dumps({"jwt_secret": "k" * 40}))
    found = secrets_of(with_own_secrets(Settings(), tmp_path))
    assert found["jwt_secret"] == "k" * 40
    assert json.loads((tmp_path / "secrets.json").read_text()).items() >= found.items()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"5", b"\xff\xfe", b'{"jwt_secret": ""}', b'{"jwt_secret": 5}']
)
def test_a_broken_file_is_reported_and_not_changed(tmp_path: Path, content: bytes):
    path = tmp_path / "secrets.json"
    path.write_bytes(content)
    with pytest.raises(StartupError, match=r"secrets\.json cannot be read"):
        with_own_secrets(Settings(), tmp_path)
    assert path.read_bytes() == content


def test_a_directory_in_place_of_the_file(tmp_path: Path):
    (tmp_path / "secrets.json").mkdir()
    with pytest.raises(StartupError, match=r"secrets\.json cannot be read"):
        with_own_secrets(Settings(), tmp_path)


def test_a_private_file_is_replaced_atomically(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chmod(path, 0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


# -- endpoints.json -------------------------------------------------------------------------------------------------


def test_endpoints_are_ordered_and_completed_with_the_whole_address():
    found = endpoints.complete(
        {"extra": 1, "stream_key": "k", "rtmp_server": "rtmp://h/live", "pid": 5, "api_url": "http://h"}
    )
    assert list(found) == ["pid", "api_url", "rtmp_url", "rtmp_server", "stream_key", "extra"]
    assert found["rtmp_url"] == "rtmp://h/live/k"


def test_the_whole_address_needs_server_and_key():
    assert "rtmp_url" not in endpoints.complete({"rtmp_server": "rtmp://h/live"})
    assert "rtmp_url" not in endpoints.complete({"stream_key": "k"})
    assert endpoints.complete({"rtmp_url": "x", "rtmp_server": "s", "stream_key": "k"})["rtmp_url"] == "x"


def test_endpoints_are_private_and_removed(tmp_path: Path):
    path = endpoints.write(tmp_path, {"pid": 5})
    assert json.loads(path.read_text()) == {"pid": 5}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    endpoints.remove(tmp_path)
    endpoints.remove(tmp_path)
    assert not path.exists()
