"""What a disk that takes nothing is called; the page has words for each code."""

import errno
import os
import re
from pathlib import Path

import pytest

from airnode.bus.messages import Notice
from airnode.kernel.trouble import Trouble
from airnode.media.recording.reporting import disk_failure, notices_of, slow_notice
from airnode.media.room import playability
from airnode.store.files.disk import DiskTooFull

ROOT = Path(__file__).parents[4]
PLACE = Path("/recordings")


def stopped_notice(error: OSError) -> Notice:
    trouble = Trouble()
    trouble.begin(disk_failure(error, PLACE))
    (notice,) = notices_of(trouble)
    return notice


def failed(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DiskTooFull(1 << 20, 1 << 30, "recording.min_free_bytes"), "recording_disk_full"),
        (failed(errno.ENOSPC), "recording_disk_full"),
        (failed(errno.EDQUOT), "recording_disk_full"),
        (failed(errno.EROFS), "recording_disk_read_only"),
        (failed(errno.EIO), "recording_disk_failed"),
        (OSError("the disk did not answer within 5 s"), "recording_disk_failed"),
    ],
)
def test_the_code_says_what_to_do(error: OSError, code: str):
    notice = stopped_notice(error)
    assert (notice.code, notice.level) == (code, "critical")
    assert notice.fields["path"] == "/recordings"
    assert (error.strerror or str(error)) in notice.text
    assert notice.fields.get("error", error.strerror or str(error)) == (error.strerror or str(error))


def test_a_slow_disk_is_a_warning():
    assert slow_notice(PLACE).level == "warning"


def test_the_admin_page_has_words_for_every_code():
    codes = {stopped_notice(failed(number)).code for number in (errno.ENOSPC, errno.EROFS, errno.EIO)}
    codes |= {slow_notice(PLACE).code}
    for role in ("consumer", "producer"):
        codes |= set(re.findall(r'\("(\w+)", \w+\.check\)', (ROOT / "roles" / f"{role}.py").read_text()))
    assert len(codes) == 9
    for judge in ("cluster/alarms.py", "pipeline/admin/alarms.py"):
        codes |= set(re.findall(r'code="(\w+)"', (ROOT / "airnode" / judge).read_text()))
    codes |= {"node_report", "redis_missing", "postgres_missing", *playability.REASONS}
    assert len(codes) == 34
    page = (ROOT / "airnode" / "ui" / "src" / "admin" / "alarms.ts").read_text()
    assert codes == set(re.findall(r'^  (\w+): "alarm\.\w+",$', page, re.MULTILINE))
