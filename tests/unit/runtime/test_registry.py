from pathlib import Path

import pytest

from airnode.config import load
from airnode.errors import ConfigError, StartupError
from airnode.runtime import registry
from airnode.runtime.registry import installed, resolve


def names(found):
    return [role.name for role in found]


def test_included_roles_come_first_and_none_twice():
    found = names(resolve(["standalone"]))
    # The stt-worker is included where the extra `stt` is installed.
    assert [each for each in found if each != "stt-worker"] == ["consumer", "master", "slave", "standalone"]
    found = [each for each in names(resolve(["slave", "standalone", "slave"])) if each != "stt-worker"]
    assert found == ["slave", "consumer", "master", "standalone"]
    assert names(resolve([" slave ", "master"])) == ["slave", "consumer", "master"]


@pytest.mark.parametrize(("given", "guess"), [("standalon", "standalone"), ("slaves", "slave"), ("Master", "master")])
def test_an_unknown_name_gets_a_suggestion(given, guess):
    with pytest.raises(StartupError, match=f"did you mean {guess}\\?"):
        resolve([given])


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(StartupError) as caught:
        resolve(["xyzzy"])
    assert "did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in ("cache-worker", "master", "slave", "standalone"))


def test_no_role_at_all():
    with pytest.raises(StartupError, match="airnode roles"):
        resolve([])


def test_all_built_in_roles_are_found_with_their_package():
    found = {each.role.name: each.distribution for each in installed()}
    assert {"master", "slave", "standalone"} <= set(found)
    assert set(found.values()) == {"airnode"}


def test_a_role_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "extra = extra_role:ROLE")
    (tmp_path / "extra_role.py").write_text(
        "from airnode.runtime.role import Role\n\nROLE = Role(name='extra', summary='for tests', includes=('slave',))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert names(resolve(["extra"])) == ["slave", "extra"]
    assert {each.role.name: each.distribution for each in installed()}["extra"] == "another"


def test_an_entry_point_that_is_no_role_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "extra = wrong_role:ROLE")
    (tmp_path / "wrong_role.py").write_text("ROLE = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match=r"extra = wrong_role:ROLE is not an airnode\.runtime\.role\.Role"):
        resolve(["extra"])


def test_two_packages_with_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "master = elsewhere:ROLE")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match="Two packages bring a role called 'master'"):
        resolve(["slave"])


TOKEN_ROLE = """
from airnode.kernel.access import JoinToken, RemoteAccess
from airnode.runtime.role import Role

TOKEN = JoinToken({key!r}, "captions token", "For a test.")
ROLE = Role(name="extra", summary="for tests", access=RemoteAccess(name="captions", token=TOKEN))
"""


def test_a_role_brings_a_join_token_into_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "extra = token_role:ROLE")
    (tmp_path / "token_role.py").write_text(TOKEN_ROLE.format(key="captions_token"))
    monkeypatch.syspath_prepend(tmp_path)
    role_keys, secret = registry.role_keys(), "5ea1ed" * 8
    loaded = load(flags={}, files=[], env={"AIRNODE_CLUSTER__CAPTIONS_TOKEN": secret}, role_keys=role_keys)
    assert loaded.settings.cluster.join_token("captions_token") == secret
    assert loaded.settings.cluster.join_token("pipeline_token") == ""
    assert loaded.origins["cluster.captions_token"] == "env AIRNODE_CLUSTER__CAPTIONS_TOKEN"
    with pytest.raises(ConfigError, match=r"cluster\.captions_token: must have 32 characters"):
        load(flags={"cluster.captions_token": "a-short-one"}, files=[], env={}, role_keys=role_keys)
    both = {"cluster.captions_token": secret, "cluster.pipeline_token": secret}
    with pytest.raises(ConfigError, match=r"is cluster\.\w+_token, which opens other things"):
        load(flags=both, files=[], env={}, role_keys=role_keys)


@pytest.mark.parametrize(
    ("key", "error"), [("pipeline_token", "differs from another"), ("master_url", "needs a key like")]
)
def test_a_join_token_with_the_key_of_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, error: str
):
    module = f"token_role_of_{key}"
    install(tmp_path, f"extra = {module}:ROLE")
    (tmp_path / f"{module}.py").write_text(TOKEN_ROLE.format(key=key))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match=error):
        registry.role_keys()


def install(directory: Path, line: str) -> None:
    """A distribution on the path with one entry point."""
    info = directory / "another-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{line}\n")
