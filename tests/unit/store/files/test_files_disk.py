"""A real disk."""

import os
from pathlib import Path

import pytest

from airnode.store.files import disk


def test_free_space_is_measured_before_the_directory_exists(tmp_path: Path):
    there = os.statvfs(tmp_path)
    assert disk.free_bytes(tmp_path / "not" / "yet") == pytest.approx(there.f_bavail * there.f_frsize, rel=0.2)
    disk.probe_writable(tmp_path / "not" / "yet")
    assert os.listdir(tmp_path / "not" / "yet") == []


def test_ranges_are_read_and_pieces_are_written_where_they_belong(tmp_path: Path):
    with (tmp_path / "file").open("w+b") as file:
        assert disk.write_at(file.fileno(), (b"abc", b"def"), 2) == 8
        assert disk.read_at(file.fileno(), 4, 3) == b"cde"
        assert disk.read_at(file.fileno(), 6, 100) == b"ef"
    disk.sync_directory(tmp_path)


def test_too_little_free_space_names_the_setting(tmp_path: Path):
    disk.require_free_bytes(tmp_path, 0, "uploads.min_free_bytes")
    with pytest.raises(disk.DiskTooFull, match=r"uploads\.min_free_bytes") as refused:
        disk.require_free_bytes(tmp_path, 1 << 62, "uploads.min_free_bytes")
    assert disk.is_full(refused.value)
