from pathlib import Path

import pytest

from airnode.errors import StartupError
from airnode.runtime import registry
from airnode.runtime.registry import installed, resolve


def names(found):
    return [role.name for role in found]


def test_included_roles_come_first_and_none_twice():
    assert names(resolve(["standalone"])) == ["master", "slave", "standalone"]
    assert names(resolve(["slave", "standalone", "slave"])) == ["slave", "master", "standalone"]
    assert names(resolve([" slave ", "master"])) == ["slave", "master"]


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


def install(directory: Path, line: str) -> None:
    """A distribution on the path with one entry point."""
    info = directory / "another-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{line}\n")
