"""The commands for developers: the list of make, and the programs that tests need."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("ffmpeg", "chromium", "gst-launch-1.0", "faketime")


def system_packages(directory: Path, system: str, programs: tuple[str, ...]) -> str:
    """Return what tests/system-packages prints on a system that has only these programs, without apt."""
    for name in programs:
        (directory / name).symlink_to("/bin/true")
    (directory / "uname").write_text(f"#!/bin/sh\necho {system}\n")
    (directory / "uname").chmod(0o755)
    (directory / "id").write_text("#!/bin/sh\necho 1000\n")
    (directory / "id").chmod(0o755)
    bash, sh = shutil.which("bash"), shutil.which("sh")
    assert bash is not None
    assert sh is not None
    (directory / "sh").symlink_to(sh)
    done = subprocess.run(
        [bash, str(ROOT / "tests" / "system-packages")],
        env={"PATH": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(("system", "expected", "other"), [("Linux", "apt", "brew"), ("Darwin", "brew", "apt install")])
def test_missing_programs_are_named_with_the_command_of_this_system(
    tmp_path: Path, system: str, expected: str, other: str
):
    printed = system_packages(tmp_path, system, NEEDED[1:])
    assert "ffmpeg" in printed
    assert expected in printed
    assert other not in printed


@pytest.mark.skipif(
    not any(os.access(f"{each}/tc", os.X_OK) for each in ("/sbin", "/usr/sbin")), reason="tc is not installed"
)
def test_tc_is_found_for_a_user_whose_path_has_no_sbin(tmp_path: Path):
    assert system_packages(tmp_path, "Linux", NEEDED) == ""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_list_of_make_is_aligned():
    lines = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    starts = {re.match(r"[a-z-]+ +", line).end() for line in lines.splitlines()}  # type: ignore[union-attr]
    assert len(starts) == 1
    assert len(lines.splitlines()) > 20
