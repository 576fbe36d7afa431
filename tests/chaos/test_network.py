"""What the network does to a class: delay, loss, and ways that break between some nodes and not between others."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from airnode.web.tokens import Tokens
from tests.support.cluster import KEY, Cluster
from tests.support.database import EmptyDatabase
from tests.support.ffmpeg import Publisher
from tests.support.follower import Follower, Reloader
from tests.support.netns import Host, Network, Shape, missing
from tests.support.node import AirnodeProcess
from tests.support.student import Student
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(120), pytest.mark.xdist_group("networks")]


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of about 100 kbit/s, as a link with 200 ms and 5 % loss can carry on one TCP connection."""
    path = tmp_path_factory.mktemp("clips") / "small.flv"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=160x90:rate=12",
            "-f",
            "lavfi",
            "-i",
            "sine=sample_rate=48000",
            "-t",
            "90",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "12",
            "-sc_threshold",
            "0",
            "-b:v",
            "50k",
            "-maxrate",
            "50k",
            "-bufsize",
            "50k",
            "-c:a",
            "aac",
            "-b:a",
            "32k",
            str(path),
        ],
        check=True,
    )
    return path


class Lab:
    """A cluster with each node on a host of its own: master, origin, edge, and students' machines."""

    def __init__(self, network: Network, hosts: dict[str, Host], directory: Path, clip: Path) -> None:
        self.network = network
        self.hosts = hosts
        self.clip = clip
        self.session = hosts["room"].session()
        self.cluster = Cluster(directory, self.session)
        self.nodes = {"master": self._on("master", self.cluster.master)}

    def _on(self, name: str, node: AirnodeProcess) -> AirnodeProcess:
        node.command, node.host = self.hosts[name].command, self.hosts[name].address
        return node

    async def start(self, *slaves: str, settings: Sequence[str] = ()) -> "Lab":
        await self.cluster.start()
        for name in slaves:
            self.nodes[name] = self._on(name, self.cluster.slave(name, *settings))
        await asyncio.gather(*(self.nodes[name].start() for name in slaves))
        for name in slaves:
            await self.cluster.until(name, "healthy")
        return self

    async def publish(self, node: str, host: str) -> Publisher:
        url = f"{self.nodes[node]['rtmp_server']}/{self.cluster.master['stream_key']}"
        return await Publisher.of_clip(url, self.clip, command=self.hosts[host].command).start()

    async def student(self, host: str, node: str, user: str = "mina", *, silence_s: float = 4.0) -> Student:
        """A student on ``host`` who begins at that node."""
        master = self.nodes["master"]
        made = Student(self.hosts[host].session(), master["api_url"], master["class_code"], user, silence_s=silence_s)
        return await made.start(await self.place(node, user))

    async def place(self, node: str, user: str) -> dict[str, Any]:
        """What the master would answer if it had chosen that node."""
        token = Tokens(KEY, 600).issue(user, "student", "stream")[0]
        listed = (await self.cluster.listed())[node]
        url = f"{self.nodes[node]['media_url']}/live/stream/index.m3u8?jwt={token}"
        return {
            "token": token,
            "hls_url": url,
            "node_id": listed["node_id"],
            "node_name": node,
            "room": "stream",
        }

    async def playlist(self, node: str, user: str = "hls") -> str:
        place = await self.place(node, user)
        return f"{self.nodes[node]['media_url']}/v/{place['token']}/stream/media.m3u8"

    async def close(self) -> None:
        """Slaves at once: what going down well does is tested elsewhere, and takes time where the master is away."""
        await asyncio.gather(*(node.end() for node in self.cluster.nodes if node is not self.cluster.master))
        await self.cluster.close()

    async def streams(self) -> list[dict[str, Any]]:
        status, body = await self.cluster.call("GET", "/cluster/streams")
        assert status == 200, body
        return list(body["streams"])


@pytest.fixture
async def lab(tmp_path: Path, small_clip: Path, empty_database: EmptyDatabase) -> AsyncIterator[Lab]:
    """master, origin, edge and other; students in room (as it is) and at home (whose link can be shaped)."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    await empty_database.lay(tmp_path / "master")
    async with Network() as network:
        names = ("master", "origin", "edge", "other", "room", "home")
        hosts = {name: await network.host(name, shaped=name in ("edge", "home")) for name in names}
        made = Lab(network, hosts, tmp_path, small_clip)
        try:
            yield made
        finally:
            await made.close()


async def test_nobody_is_stuck_behind_delay_and_loss(lab: Lab):
    await lab.start("origin", "edge")
    teacher = await lab.publish("origin", "room")
    watching: list[Student | Reloader] = []
    try:
        await eventually(lambda: lab.streams(), what="the class is live")
        behind = await lab.student("room", "edge", "behind the edge")
        home = await lab.student("home", "origin", "at home")
        reloaders = [
            await Reloader(lab.hosts[host].session(), await lab.playlist(node, f"hls {host}")).start()
            for host, node in (("room", "edge"), ("home", "origin"))
        ]
        watching = [behind, home, *reloaders]
        await asyncio.gather(behind.plays(), home.plays(), *(reloader.takes(1) for reloader in reloaders))
        for name in ("edge", "home"):
            await lab.hosts[name].shape(Shape(delay_ms=200, loss_percent=5))
        for _ in range(4):
            await asyncio.gather(
                *(student.plays(ticks=36) for student in (behind, home)),
                *(reloader.takes(2) for reloader in reloaders),
            )
        await lab.network.heal()
        await asyncio.gather(
            *(student.plays(late_s=2.0) for student in (behind, home)),
            *(reloader.takes(2) for reloader in reloaders),
        )
        for reloader in reloaders:
            assert reloader.taken == sorted(set(reloader.taken))
        assert teacher.running
    finally:
        for each in watching:
            await each.stop()
        await teacher.kill()


async def test_viewers_leave_an_edge_that_lost_its_origin(lab: Lab):
    await lab.start("origin", "edge", "other")
    teacher = await lab.publish("origin", "room")
    students: list[Student] = []
    try:
        await eventually(lambda: lab.streams(), what="the class is live")
        # One goes by itself when nothing comes; the other waits until the edge ends the response.
        students = [await lab.student("room", "edge", f"s{n}", silence_s=(4, 60)[n]) for n in range(2)]
        follower = await Follower(lab.session, await lab.playlist("edge")).start()
        await asyncio.gather(*(student.plays(at="edge") for student in students), follower.segments(1))
        await lab.network.part(lab.hosts["origin"], lab.hosts["edge"])
        await asyncio.gather(*(student.plays(away_from="edge", late_s=2.0) for student in students))
        origin_id = (await lab.cluster.listed())["origin"]["node_id"]

        async def told() -> bool:
            return (await lab.cluster.listed())["edge"]["cut_from"] == [origin_id]

        await eventually(told, what="masters know that the edge is cut off")
        assert all("edge" not in student.places[1:] for student in students)
        for n in range(12):
            status, body = await lab.cluster.student(f"new{n}")
            assert (status, body["node_name"] == "edge") == (200, False), body
        await eventually(lambda: 503 in follower.errors, what="players that stay are told to go")
        await lab.network.heal()
        await follower.segments(len(follower.msns) + 2, 25)

        async def back() -> bool:
            status, body = await lab.cluster.student("back")
            return status == 200 and body["node_name"] == "edge"

        await eventually(back, what="the edge takes part again")
        await follower.stop()
    finally:
        for student in students:
            await student.stop()
        await teacher.kill()


async def test_a_slave_without_master_and_redis_keeps_its_class(lab: Lab):
    """The origin loses both; its viewers, and those of an edge that still reaches it, watch on."""
    # A room without a lease is forgotten after its time of grace, but not while it comes.
    await lab.start("origin", "edge", settings=("--set", "hls.grace_s=2"))
    teacher = await lab.publish("origin", "room")
    students: list[Student] = []
    try:
        await eventually(lambda: lab.streams(), what="the class is live")
        epoch = (await lab.streams())[0]["epoch"]
        students = [await lab.student("room", node, f"at {node}", silence_s=60) for node in ("origin", "edge")]
        await asyncio.gather(
            *(student.plays(at=node) for student, node in zip(students, ("origin", "edge"), strict=True))
        )
        await lab.network.part(lab.hosts["origin"], lab.hosts["master"])
        await lab.cluster.until("origin", "offline")
        for n in range(8):
            status, body = await lab.cluster.student(f"new{n}")
            assert (status, body["node_name"]) == (200, "edge"), body
        for _ in range(12):
            await asyncio.gather(*(student.plays(ticks=12, late_s=2.0) for student in students))
        await lab.network.heal()
        await lab.cluster.until("origin", "healthy")

        async def its_own_again() -> bool:
            streams = await lab.streams()
            return [(stream["origin_name"], stream["state"]) for stream in streams] == [("origin", "live")]

        await eventually(its_own_again, what="masters see the class again")
        assert (await lab.streams())[0]["epoch"] == epoch
        await asyncio.gather(*(student.plays(late_s=2.0) for student in students))
        assert [student.places for student in students] == [["origin"], ["edge"]]
        assert not any(student.refusals for student in students), [str(student) for student in students]
        assert teacher.running
        assert "room_lost" not in lab.nodes["origin"].log
    finally:
        for student in students:
            await student.stop()
        await teacher.kill()


async def test_an_origin_that_was_cut_off_with_its_publisher_lets_go(lab: Lab):
    """Split brain: the class goes live elsewhere meanwhile; there is one origin when the network is whole again."""
    await lab.start("origin", "edge", "other")
    first = await lab.publish("origin", "origin")
    second: Publisher | None = None
    students: list[Student] = []
    try:
        await eventually(lambda: lab.streams(), what="the class is live")
        epoch = (await lab.streams())[0]["epoch"]
        students = [await lab.student("room", "edge", "mina")]
        await students[0].plays(at="edge")
        await lab.hosts["origin"].cut()

        async def taken() -> bool:
            nonlocal second
            if second is None or not second.running:
                second = await lab.publish("other", "room")
            return "room_claimed" in lab.nodes["other"].log

        await eventually(taken, what="the class goes live on another node")
        await students[0].plays(ticks=24, late_s=2.0)
        assert first.running, "on its side of the cut, nobody has told the first one anything"
        await lab.network.heal()
        code, errors = await first.result(30)
        assert code != 0
        assert "this class is published to another node now" in errors
        await eventually(lambda: "room_lost" in lab.nodes["origin"].log, what="the old origin lets go")
        await students[0].plays(ticks=24, late_s=2.0)
        students.append(await lab.student("room", "origin", "at the old origin"))
        await students[1].plays(at="origin", late_s=2.0)
        [stream] = await lab.streams()
        assert stream["origin_name"] == "other"
        assert stream["epoch"] > epoch
        assert second is not None
        assert second.running
    finally:
        for student in students:
            await student.stop()
        for publisher in (first, second):
            if publisher is not None:
                await publisher.kill()
