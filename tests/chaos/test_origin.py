"""kill -9 of the origin: its publisher comes back elsewhere, students follow, and the dead one gets nothing back."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Join
from tests.chaos.lesson import advances, by_id, live_elsewhere, node_of, publishing, stream_of, watch
from tests.e2e.test_class import mark, moving, unmarked
from tests.support.browser import chromium
from tests.support.cluster import Cluster
from tests.support.ffmpeg import Publisher
from tests.support.student import Student, told
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(240)]


async def test_publisher_and_students_go_on_elsewhere_and_the_dead_origin_gets_nothing_back(
    cluster: Cluster, join: Join, clip: Path
):
    nodes = await by_id(cluster)
    async with publishing(cluster, clip) as encoder:
        origin = encoder.tries[0][1]
        old = nodes[origin]
        students = [*await join(9, "live"), *await join(9, "hls")]
        await asyncio.gather(*(student.plays() for student in students))
        died_s = time.monotonic()
        await old.kill()
        stream = await eventually(lambda: live_elsewhere(cluster, origin), 30, "the publisher is in again")
        assert stream is not None
        taken_s = time.monotonic()
        away = old.data_dir.name
        await asyncio.gather(*(student.plays(after_s=taken_s, ticks=20, away_from=away) for student in students))
        print(f"killed origin: the class is live on another node after {taken_s - died_s:.2f} s")
        began_s = [_new_timeline_s(student, died_s) for student in students]
        print(told("killed origin, behind the first new part", [at_s - min(began_s) for at_s in began_s]))
        assert sorted(began_s)[len(began_s) // 2] - min(began_s) < 5

        # The machine comes back, and somebody who was left on it tries to publish there again.
        await old.start()
        await cluster.until(away, "healthy")
        late = await Publisher.of_clip(f"{old['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
        code, errors = await late.result()
        assert code != 0
        assert "live already" in errors
        again = await stream_of(cluster)
        assert again is not None
        assert (again["origin"], again["epoch"]) == (stream["origin"], stream["epoch"])


async def test_a_stopped_origin_that_goes_on_cannot_take_the_class_back(cluster: Cluster, join: Join, clip: Path):
    """As when a machine hangs: nobody hears it, its connections stay, and then it wakes up."""
    nodes = await by_id(cluster)
    async with publishing(cluster, clip) as encoder:
        origin = encoder.tries[0][1]
        students = await join(4, "live")
        await asyncio.gather(*(student.plays() for student in students))
        nodes[origin].pause()
        try:
            stream = await eventually(lambda: live_elsewhere(cluster, origin), 40, "the publisher finds another node")
            taken_s = time.monotonic()
            away = nodes[origin].data_dir.name
            await asyncio.gather(*(student.plays(after_s=taken_s, away_from=away) for student in students))
        finally:
            nodes[origin].resume()
        await eventually(lambda: "room_lost" in nodes[origin].log, 20, "the old origin lets go")
        woken_s = time.monotonic()
        await asyncio.gather(*(student.plays(after_s=woken_s, ticks=20) for student in students))
        again = await stream_of(cluster)
        assert stream is not None and again is not None
        assert (again["origin"], again["epoch"]) == (stream["origin"], stream["epoch"])


def _new_timeline_s(student: Student, died_s: float) -> float:
    """When the first media of the new origin came: its decode times begin anew."""
    before = max(tick.media_s for tick in student.ticks if tick.at_s <= died_s)
    return next(tick.at_s for tick in student.since(died_s) if tick.media_s < before - 1)


@pytest.mark.chromium
async def test_hls_js_plays_on_over_a_move_of_the_origin(cluster: Cluster, clip: Path):
    nodes = await by_id(cluster)
    async with publishing(cluster, clip) as encoder, chromium() as browser:
        origin = encoder.tries[0][1]
        page, asked = await watch(browser, cluster, nodes[origin].data_dir.name, "hls")
        await mark(page)
        edge = await node_of(asked, cluster)
        died_s = time.monotonic()
        await nodes[origin].kill()
        await eventually(lambda: live_elsewhere(cluster, origin), 30, "the publisher is in again")
        taken_s = time.monotonic()
        await eventually(lambda: advances(page), 30, "the page plays on")
        print(
            f"killed origin: live again after {taken_s - died_s:.2f} s, hls.js {time.monotonic() - taken_s:.2f} s later"
        )
        await moving(page)
        assert not await unmarked(page)
        assert await page.evaluate("window.airnode.path") == "hls"
        assert await node_of(asked, cluster) == edge, "its own node was never gone"
