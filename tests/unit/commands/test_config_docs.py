"""The generated documents are in step with the model."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from airnode.commands import config_docs
from airnode.config import keys
from airnode.config.sources import ENV_LEGACY
from airnode.runtime.registry import role_keys


@pytest.mark.parametrize("name", sorted(config_docs.documents()))
def test_in_step(name: str) -> None:
    path = config_docs.ROOT / name
    assert path.read_text(encoding="utf-8") == config_docs.documents()[name], (
        "run python -m airnode.commands.config_docs --write"
    )


def test_reference_names_every_key_and_environment_variable() -> None:
    text = config_docs.reference()
    for key in keys.index_of(role_keys()).keys.values():
        row = next(line for line in text.splitlines() if f"`{key.env}`" in line)
        assert row.startswith(f"| `{key.path.rpartition('.')[2]}` |")
        assert row.replace("\\|", "").count("|") == 6
        assert all(f"`{name}`" in row for name, path in ENV_LEGACY.items() if path == key.path)


def test_no_path_of_this_machine() -> None:
    for text in config_docs.documents().values():
        assert str(Path.home()) + "/" not in text
        assert str(config_docs.ROOT) not in text


def test_check_and_write(tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(config_docs.main, ["--root", str(tmp_path)])
    assert result.exit_code == 1
    assert "configs/airnode.example.toml: out of step" in result.output
    assert runner.invoke(config_docs.main, ["--root", str(tmp_path), "--write"]).exit_code == 0
    assert runner.invoke(config_docs.main, ["--root", str(tmp_path)]).exit_code == 0
    (tmp_path / "docs/config.md").write_text("stale")
    assert runner.invoke(config_docs.main, ["--root", str(tmp_path)]).output.startswith("docs/config.md: out of step")
