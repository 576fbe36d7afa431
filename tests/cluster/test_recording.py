"""Recordings of one node, played, downloaded and removed through the others."""

import asyncio
from pathlib import Path

import pytest

from airnode.web.tokens import Tokens
from tests.support.cluster import KEY, QUICK, Cluster
from tests.support.ffmpeg import Publisher
from tests.support.hls import read_media
from tests.support.recordings import Recordings, decoded
from tests.support.waiting import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.timeout(150)]

TOKENS = Tokens(KEY, 600)


async def test_any_node_plays_any_recording_and_reports_when_its_node_is_offline(tmp_path: Path, session, clip: Path):
    cluster = Cluster(tmp_path, session, *QUICK, "--set", "recording.mode=all")
    try:
        await cluster.start()
        holder, other = await asyncio.gather(
            *(cluster.add_slave(f"slave-{n}", "--set", "recording.min_free_bytes=0") for n in (1, 2))
        )
        publisher = await Publisher.of_clip(f"{holder['rtmp_server']}/{cluster.master['stream_key']}", clip).start()
        teacher = Recordings(session, cluster.master, other, TOKENS.issue("t", "teacher", "stream")[0])
        student = Recordings(session, cluster.master, other, TOKENS.issue("s", "student", "stream")[0])
        found = await teacher.until(status="recording", duration_s=2, within_s=40)
        assert (await teacher.call("GET", "/recording"))[1]["mode"] == "all", "slaves take the master's mode"

        # During the recording, from a node that does not have it.
        status, _, text = await student.get(found["playlist_url"])
        media = read_media(text)
        assert (status, media.kind, media.ended) == (200, "EVENT", False)
        frames, errors = await decoded((await student.get(found["download_url"]))[2])
        assert (frames >= 60, errors) == (True, "")

        assert (await teacher.switch(False))[0] == 200
        done = await teacher.until(status="finished", recording_id=found["recording_id"])
        await publisher.kill()
        here = Recordings(session, cluster.master, holder, student.token)
        for relative in (done["playlist_url"], done["download_url"]):
            far, near = await eventually_alike(student, here, relative)
            assert far == near
        frames, errors = await decoded(student.url(done["playlist_url"]))
        assert (frames, errors) == (round(30 * done["duration_s"]), "")
        assert await decoded(student.url(done["download_url"])) == (frames, "")
        _, headers, whole = await student.get(done["download_url"])
        status, ranged, piece = await student.get(done["download_url"], Range="bytes=1000-300000")
        assert (status, ranged["Content-Range"]) == (206, f"bytes 1000-300000/{len(whole)}")
        assert (piece, ranged["ETag"]) == (whole[1000:300001], headers["ETag"])
        assert (await student.get(done["download_url"], Range=f"bytes={len(whole)}-"))[0] == 416
        await strangers(cluster, holder, other, done["playlist_url"])

        await holder.kill()
        await cluster.until("slave-1", "offline")
        (listed,) = await student.all()
        assert not listed["available"]
        assert listed["status"] == "finished"
        status, headers, body = await student.get(done["download_url"])
        assert status == 503
        assert b"offline" in body
        assert headers["Retry-After"]
        status, refused = await teacher.remove(done["recording_id"])
        assert (status, "forget" in refused["detail"]) == (503, True)
        assert (await teacher.remove(done["recording_id"], forget="true"))[0] == 204
        assert await teacher.all() == []

        await holder.start()  # its files are the source: it is listed again, and plays
        again = await teacher.until(status="finished", recording_id=done["recording_id"], available=True)
        assert (again["duration_s"], again["size_bytes"]) == (done["duration_s"], done["size_bytes"])

        async def plays() -> bool:
            return (await student.get(done["download_url"]))[2] == whole

        await eventually(plays, 30, "it plays through the other node, at the holder's new address")
        assert (await teacher.remove(done["recording_id"]))[0] == 204
        assert await teacher.all() == []

        async def gone() -> bool:
            return (await student.get(done["playlist_url"]))[0] == 404

        await eventually(gone, 20, "the other node knows")
        assert not list(holder.data_dir.glob("recordings/*/*"))
    finally:
        await cluster.close()


async def eventually_alike(far: Recordings, near: Recordings, relative: str) -> tuple[bytes, bytes]:
    """Return the answers of two nodes; the second one may be a playlist that is a second old."""

    async def both() -> tuple[bytes, bytes] | None:
        answers = [(await each.get(relative))[2] for each in (far, near)]
        return (answers[0], answers[1]) if answers[0] == answers[1] else None

    found = await eventually(both, 15, f"both nodes answer alike for {relative}")
    assert found is not None
    return found


async def strangers(cluster: Cluster, holder, other, relative: str) -> None:
    """A token of another class is refused on each node, and between nodes only a node's credential is accepted."""
    token = TOKENS.issue("m", "student", "other")[0]
    for node in (holder, other):
        stranger = Recordings(cluster.session, cluster.master, node, token)
        assert (await stranger.get(relative))[0] == 403
        assert (await Recordings(cluster.session, cluster.master, node, token, "other").get(relative))[0] == 404
    inner = TOKENS.issue_node("n")
    for credential, node, expected in (
        (token, holder, 403),
        ("", holder, 401),
        (inner, holder, 200),
        (inner, other, 404),
    ):
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        async with cluster.session.get(f"{node['media_url']}/relay/stream/{relative}", headers=headers) as response:
            assert response.status == expected
