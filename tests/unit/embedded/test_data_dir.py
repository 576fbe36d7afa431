"""The data directory: made, checked, locked."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from airnode.embedded.data_dir import DataDir
from airnode.errors import StartupError


def test_it_is_created_private_and_held_by_one_process(tmp_path):
    first, second = DataDir(tmp_path / "a" / "b"), DataDir(tmp_path / "a" / "b")
    first.acquire()
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    with pytest.raises(StartupError, match=rf"Another airnode \(pid {os.getpid()}\) is using .*/a/b"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["lock"]


def test_the_permissions_of_an_existing_one_are_left_alone(tmp_path):
    tmp_path.chmod(0o755)
    directory = DataDir(tmp_path)
    directory.acquire()
    directory.release()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_the_lock_ends_with_its_process_and_is_not_inherited(tmp_path):
    code = """
import subprocess, sys, pathlib
from airnode.embedded.data_dir import DataDir
DataDir(pathlib.Path(sys.argv[1])).acquire()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
print(child.pid, flush=True)
input()
"""
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert owner.stdout.readline()
        with pytest.raises(StartupError, match=f"pid {owner.pid}"):
            DataDir(tmp_path).acquire()
    finally:
        owner.kill()
        owner.communicate()
    directory = DataDir(tmp_path)
    directory.acquire()
    directory.release()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="is a file or lies below one"):
        DataDir(tmp_path / "file" / below).acquire()


def test_an_unwritable_directory_is_refused():
    with pytest.raises(StartupError, match="not writable for this user"):
        DataDir(_unwritable()).acquire()


def _unwritable():
    from pathlib import Path

    if os.geteuid() != 0:
        return Path("/airnode-must-not-be-here")
    if not Path("/sys/kernel").exists():
        pytest.skip("root can write everywhere here")
    return Path("/sys/kernel/airnode")


def test_a_full_disk_is_reported(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mount is not allowed here")
    try:
        with pytest.raises(StartupError, match="the disk is full"):
            DataDir(tmp_path).acquire()
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "not writable"),
        (errno.EROFS, "not writable"),
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.ENOTDIR, "is a file"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_every_refusal_is_one_sentence(tmp_path, number, words):
    text = str(DataDir(tmp_path)._startup_error(OSError(number, os.strerror(number))))
    assert words in text
    assert text.endswith(".")
    assert "\n" not in text


def test_home_is_expanded(monkeypatch, tmp_path):
    from pathlib import Path

    monkeypatch.setenv("HOME", str(tmp_path))
    assert DataDir(Path("~/.airnode")).path == tmp_path / ".airnode"
