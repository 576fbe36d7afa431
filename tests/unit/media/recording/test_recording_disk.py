"""Recordings on a real disk: what is there after a crash, a full disk and a restart."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from airnode.media.recording import disk
from airnode.media.recording.disk import INDEX, MEDIA, RecordingFile, SegmentToWrite
from airnode.media.recording.index import BeginEntry, parse
from airnode.store.files.disk import probe_writable, remove_directory

ID = "20261122T091500Z-5f0c2a91"
BEGUN = BeginEntry(1, ID, "stream", "node-1", 1_700_000_000.0, 2)


def take(msn: int, *, init: bytes = b"i" * 50, size: int = 1000, discontinuity: bool = False) -> SegmentToWrite:
    return SegmentToWrite(
        msn, init, [b"%04d" % msn * (size // 8)] * 2, size // 8 * 8, 1.0, 1_700_000_000.0 + msn, discontinuity
    )


def made(root: Path, *takes: SegmentToWrite) -> RecordingFile:
    file = RecordingFile(root / "stream" / ID, BEGUN)
    for each in takes:
        file.write(each)
    return file


def test_a_finished_recording_is_found_again(tmp_path: Path):
    file = made(tmp_path, take(7), take(8), take(9))
    file.sync()
    file.finish(1_700_000_010.0)
    (kept,) = disk.scan(tmp_path)
    assert (kept.recording_id, kept.room, kept.status) == (ID, "stream", "finished")
    assert (kept.duration_s, kept.size_bytes, kept.ended_at) == (3.0, 3050, 1_700_000_010.0)
    index = disk.load(kept.directory)
    assert index is not None
    media = (kept.directory / MEDIA).read_bytes()
    for n, segment in enumerate(index.segments):
        assert media[segment.offset_bytes : segment.offset_bytes + segment.size_bytes] == b"".join(take(7 + n).parts)
    assert [segment.discontinuity for segment in index.segments] == [False, False, False]


def test_a_new_initialization_section_and_a_missing_segment_are_discontinuities(tmp_path: Path):
    file = made(tmp_path, take(0), take(1), take(3), take(4, init=b"j" * 60), take(5, init=b"j" * 60))
    assert [segment.discontinuity for segment in file.index.segments] == [False, False, True, True, False]
    assert file.index.init_of == [0, 0, 0, 1, 1]
    file.close()


def test_after_a_crash_everything_whole_is_there_once(tmp_path: Path):
    file = made(tmp_path, take(0), take(1))
    directory = tmp_path / "stream" / ID
    with (directory / MEDIA).open("ab") as media:
        media.write(b"half a segment")
    with (directory / INDEX).open("ab") as index:
        index.write(b'["segment",2050,1000,1.0,')
    file.close()
    for _ in range(2):  # the second start finds what the first one wrote
        (kept,) = disk.scan(tmp_path)
        assert (kept.status, kept.duration_s, kept.size_bytes) == ("interrupted", 2.0, 2050)
        assert kept.ended_at == 1_700_000_002.0
        assert (directory / MEDIA).stat().st_size == 2050


def test_media_that_a_power_cut_swallowed_is_not_listed(tmp_path: Path):
    made(tmp_path, take(0), take(1), take(2)).close()
    os.truncate(tmp_path / "stream" / ID / MEDIA, 2500)
    (kept,) = disk.scan(tmp_path)
    assert (kept.status, kept.duration_s) == ("interrupted", 2.0)


def test_foreign_things_in_the_directory_are_left_alone(tmp_path: Path):
    made(tmp_path, take(0)).finish(1.8e9)
    (tmp_path / "stream" / "holiday.mp4").write_bytes(b"x")
    (tmp_path / "Not A Room").mkdir()
    (tmp_path / "stream" / "20261122T091500Z-00000000").mkdir()  # no index
    (tmp_path / "stream" / "20261122T091500Z-11111111").mkdir()
    (tmp_path / "stream" / "20261122T091500Z-11111111" / INDEX).write_bytes(b"garbage\n")
    (tmp_path / "stream" / "20261122T091500Z-11111111" / MEDIA).write_bytes(b"")
    (tmp_path / "other").mkdir()
    (tmp_path / "stream" / ID).rename(tmp_path / "other" / ID)  # of another room than it says
    assert list(disk.scan(tmp_path)) == []
    assert (tmp_path / "stream" / "holiday.mp4").exists()
    assert (tmp_path / "other" / ID / MEDIA).exists()


def test_removing_is_finished_by_the_next_start(tmp_path: Path):
    made(tmp_path, take(0)).finish(1.8e9)
    directory = tmp_path / "stream" / ID
    directory.rename(directory.with_name(".removed-" + ID))  # as far as a crash let it come
    assert list(disk.scan(tmp_path)) == []
    assert os.listdir(tmp_path / "stream") == []


def test_a_removed_recording_leaves_nothing(tmp_path: Path):
    made(tmp_path, take(0)).finish(1.8e9)
    remove_directory(tmp_path / "stream" / ID)
    assert os.listdir(tmp_path) == []


def test_one_without_a_segment_is_not_kept(tmp_path: Path):
    assert made(tmp_path).finish(1.8e9).segments == 0
    assert list(disk.scan(tmp_path)) == []


FULL = """
    import resource, sys
    from pathlib import Path
    from airnode.media.recording.disk import RecordingFile, SegmentToWrite
    from airnode.media.recording.index import BeginEntry
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    made = "20261122T091500Z-5f0c2a91"
    begun = BeginEntry(1, made, "stream", "node-1", 1_700_000_000.0, 2)
    file = RecordingFile(Path(sys.argv[1]) / "stream" / made, begun)
    def take(msn, size):
        return SegmentToWrite(msn, b"i" * 50, [bytes([msn]) * (size // 2)] * 2, size, 1.0, 1_700_000_000.0 + msn, False)
    for msn in range(4):
        file.write(take(msn, 1000))
    try:
        file.write(take(4, 3000))
        sys.exit("it fitted")
    except OSError as error:
        print(error.errno)
    file.write(take(5, 600))
    file.finish(1_700_000_010.0)
"""


def test_a_segment_that_does_not_fit_is_taken_back_and_a_smaller_one_goes_on(tmp_path: Path):
    """With a limit on the size of files, which needs no root: the kernel writes what fits, then fails."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == errno.EFBIG
    (kept,) = disk.scan(tmp_path)
    assert (kept.status, kept.duration_s, kept.size_bytes) == ("finished", 5.0, 4650)
    index = disk.load(kept.directory)
    assert index is not None
    assert [segment.discontinuity for segment in index.segments] == [False, False, False, False, True]
    media = (kept.directory / MEDIA).read_bytes()
    assert media[index.segments[-1].offset_bytes :] == b"\5" * 600


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_disk_that_is_really_full(tmp_path: Path):
    """/dev/full answers every write with ENOSPC."""
    file = made(tmp_path, take(0))
    healthy = file._media
    file._media = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as failed:
        file.write(take(1))
    assert failed.value.errno == errno.ENOSPC
    os.close(file._media)
    file._media = healthy
    file.write(take(2))
    file.finish(1.8e9)
    index, _ = parse((tmp_path / "stream" / ID / INDEX).read_bytes(), 10_000)
    assert index is not None
    assert [segment.start_unix_s for segment in index.segments] == [1_700_000_000.0, 1_700_000_002.0]


def test_a_read_only_directory_fails_and_leaves_nothing(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root writes anywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            made(tmp_path)
        with pytest.raises(PermissionError):
            probe_writable(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert os.listdir(tmp_path) == []
