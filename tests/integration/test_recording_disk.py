"""Recording while the disk fails or is full."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.hls import read_media
from tests.support.recording_node import ALL, alarmed, healthy, publish, recorded, running, teacher_of, wait_for_state
from tests.support.recordings import decoded
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120)]


async def test_a_failed_disk_stops_the_recording_but_not_the_class(tmp_path: Path, clip: Path):
    """The directory cannot be created at first, as on a broken disk. Needs no root."""
    place = tmp_path / "disk"
    place.write_text("not a directory")
    async with running(tmp_path, *ALL, "--set", f"recording.dir={place}") as (node, api):
        recordings = await teacher_of(node, api)
        publisher = await publish(node, clip)
        await wait_for_state(api, recordings.token)
        await eventually(lambda: "recording_stopped" in node.log, what="the log says so")
        assert str(place) in await healthy(api, False)
        await recorded(api, recordings, False)
        assert await recordings.all() == []
        await alarmed(node, api, True)
        place.unlink()
        await recordings.until(status="recording", duration_s=2, within_s=40)
        assert "recording_possible_again" in node.log
        assert publisher.running
        await healthy(api, True)
        await recorded(api, recordings, True)
        await alarmed(node, api, False)
        shutil.rmtree(place)  # the disk is removed during the recording
        await recordings.switch(False)
        assert publisher.running
        await publisher.kill()


async def test_a_full_disk(tmp_path: Path, clip: Path):
    """A file system of five megabytes, which needs root to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        filler = place / "filler"
        filler.write_bytes(bytes(4200 << 10))
        async with running(tmp_path, *ALL, "--set", f"recording.dir={place}") as (node, api):
            recordings = await teacher_of(node, api)
            publisher = await publish(node, clip)
            before = await recordings.until(status="recording", duration_s=1)
            await eventually(lambda: "recording_stopped" in node.log, 40, "the disk is full")
            assert "No space left" in node.log

            await recorded(api, recordings, False)
            assert publisher.running
            filler.unlink()
            await eventually(lambda: "recording_possible_again" in node.log, 40, "there is room again")
            await recordings.until(
                recording_id=before["recording_id"], duration_s=before["duration_s"] + 6, within_s=40
            )
            assert publisher.running
            assert (await recordings.switch(False))[0] == 200
            done = await recordings.until(status="finished")
            _, _, body = await recordings.get(done["playlist_url"])
            assert sum(segment.discontinuity for segment in read_media(body).segments) == 1, "the gap is marked"
            frames, errors = await decoded(recordings.url(done["download_url"]))
            assert errors == ""
            assert frames == pytest.approx(30 * done["duration_s"], abs=3)
            await publisher.kill()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
