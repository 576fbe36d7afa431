"""The layer contracts of pyproject.toml hold, and they fail when somebody breaks them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import airnode

ROOT = Path(airnode.__file__).parents[1]

#: (what is broken, file, line added to it, what import-linter says about it)
BREACHES = [
    ("an upward import", "airnode/kernel/tasks.py", "import airnode.bus.client", "the layers of airnode"),
    ("one domain in another", "airnode/cluster/codes.py", "import airnode.media.frames", "the layers of airnode"),
    ("the runtime in a domain", "airnode/media/frames.py", "import airnode.runtime.node", "the layers of airnode"),
    ("airnode on a role", "airnode/web/health.py", "import roles.master", "the layers of airnode"),
    ("a role in a role", "roles/producer.py", "import roles.consumer", "roles never import each other"),
    (
        "a circle for type checkers only",
        "airnode/web/inputs.py",
        "import typing\nif typing.TYPE_CHECKING:\n    import airnode.web.health",
        "no circle between files",
    ),
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in a folder, and not on those that are installed."""
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as run; run()"]
    return subprocess.run(
        [*command, "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sources and the contracts."""
    folder = tmp_path_factory.mktemp("layers")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("airnode", "roles"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("ui", "static", "__pycache__"))
    return folder


def test_the_contracts_hold(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(("what", "file", "line", "contract"), BREACHES, ids=[breach[0] for breach in BREACHES])
def test_a_breach_fails(copy: Path, what: str, file: str, line: str, contract: str) -> None:
    path = copy / file
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    try:
        done = lint_imports(copy)
    finally:
        path.write_text(text)
    assert done.returncode == 1, f"{what} was not noticed:\n{done.stdout}"
    assert f"{contract} (docs/architecture.md) BROKEN" in done.stdout or f"{contract} BROKEN" in done.stdout
