"""kill -9 of an edge: its students play again elsewhere, and nobody reloads anything."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Join
from tests.chaos.lesson import node_of, playing, publish_to, watch
from tests.e2e.test_class import mark, unmarked
from tests.support.browser import chromium
from tests.support.cluster import Cluster
from tests.support.student import recoveries, told

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(240)]


async def test_students_of_a_killed_edge_play_again_elsewhere(cluster: Cluster, join: Join, clip: Path):
    """Without a video element: their own media clock advances again."""
    async with publish_to(cluster, "slave-1", clip):
        students = [*await join(12, "live"), *await join(12, "hls")]
        await asyncio.gather(*(student.plays() for student in students))
        victim = next(student.node for student in students if student.node != "slave-1")
        clocks = {student.user_id: student.ticks[-1].media_s for student in students}
        died_s = time.monotonic()
        await cluster.node(victim).kill()
        moved = [student for student in students if student.node == victim]
        assert moved
        await asyncio.gather(*(student.plays(after_s=died_s, away_from=victim) for student in moved))
        for student in moved:
            again = student.since(died_s, victim)
            assert again[-1].media_s > clocks[student.user_id], "the class goes on where it was, not anew"
            assert victim not in student.places[1:], "nobody is sent back to the dead node"
        took_s = list(recoveries(moved, died_s, victim))
        print(told("killed edge", took_s))
        assert sorted(took_s)[len(took_s) // 2] < 5
        stayed = [student for student in students if len(student.places) == 1]
        assert len(stayed) == len(students) - len(moved), "nobody else noticed"


@pytest.mark.chromium
async def test_the_page_moves_from_a_killed_edge(cluster: Cluster, clip: Path):
    async with publish_to(cluster, "slave-1", clip), chromium() as browser:
        page, asked = await watch(browser, cluster, "slave-1", "live")
        await mark(page)
        edge = await node_of(asked, cluster)
        died_s = time.monotonic()
        await cluster.node(edge).kill()
        at_s = await playing(page, asked, cluster, away_from=edge)
        print(f"killed edge: the page plays again after {at_s - died_s:.2f} s")
        assert not await unmarked(page)
        assert await page.evaluate("window.airnode.path") == "live"
