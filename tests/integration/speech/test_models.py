"""Models from packages, from directories, and from nowhere."""

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from airnode.cli import cli
from airnode.speech import models
from airnode.speech.errors import ModelMissing
from airnode.speech.models import Models, PackagedModel


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A small model in two packages, which can be imported."""
    for name, data in (("weights_one", b"first"), ("weights_two", b"second")):
        folder = tmp_path / "packages" / name
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "data" / "part").write_bytes(data)
    (tmp_path / "packages/weights_one/data/config.json").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    found = PackagedModel(
        "small",
        (("weights_one", "data/part"), ("weights_two", "data/part")),
        ("config.json",),
        sha256(b"firstsecond").hexdigest(),
        "weights",
    )
    monkeypatch.setattr(models, "PACKAGED", (found,))
    return found


def test_a_model_is_joined_from_its_packages_once(packaged: PackagedModel, tmp_path: Path):
    here = Models(tmp_path / "models", may_download=False)
    assert here.find("small") is None
    assert here.states()[0].place == "package"
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: Models(tmp_path / "models", may_download=False).get("small"), range(4)))
    assert found == {tmp_path / "models/small"}
    assert (tmp_path / "models/small/model.bin").read_bytes() == b"firstsecond"
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"small", ".lock"}
    assert here.verify("small").is_right
    (tmp_path / "models/small/model.bin").write_bytes(b"other")
    assert not here.verify("small").is_right
    assert next((state.name, state.place) for state in here.states()) == ("small", "directory")


def test_a_damaged_package_is_said_and_leaves_nothing(packaged: PackagedModel, tmp_path: Path):
    (tmp_path / "packages/weights_two/data/part").write_bytes(b"sec0nd")
    with pytest.raises(ModelMissing, match="SHA-256"):
        Models(tmp_path / "models", may_download=False).get("small")
    assert {path.name for path in (tmp_path / "models").iterdir()} == {".lock"}


def test_a_directory_and_a_cache_of_the_hub_are_found(tmp_path: Path):
    cached = tmp_path / "models--Systran--faster-whisper-medium/snapshots/abc"
    for folder in (tmp_path / "own", cached):
        folder.mkdir(parents=True)
        (folder / "model.bin").touch()
        (folder / "config.json").touch()
    here = Models(tmp_path, may_download=False)
    assert here.get(str(tmp_path / "own")) == tmp_path / "own"
    assert here.get("own") == tmp_path / "own"
    assert here.get("medium") == cached
    for name in ("../own", "/nowhere", "large-v3"):
        with pytest.raises(ModelMissing):
            here.get(name)


def test_a_hub_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelMissing, match="the model hub does not give it"):
        Models(tmp_path, may_download=True).get("large-v3")
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_the_command_lists_gets_and_verifies(packaged: PackagedModel, tmp_path: Path):
    def called(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["models", *arguments, "--data-dir", str(tmp_path / "data")])
        return result.exit_code, result.output

    assert called("get", "small") == (0, f"{tmp_path}/data/models/small\n")
    code, output = called("list", "--json")
    assert (code, json.loads(output)[0]["place"]) == (0, "directory")
    assert called("verify", "small")[0] == 0
    (tmp_path / "data/models/small/model.bin").write_bytes(b"other")
    assert called("verify", "small")[0] == 1


def test_this_installation_has_whisper_base(models_dir: Path):
    assert Models(models_dir, may_download=False).verify("base").is_right
