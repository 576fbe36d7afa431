"""Measures the cost of relays at an origin: with 1, 10 and 100 viewers per edge, in one tier and in two.

``python -m tests.bench.relay [--json] [--seconds N] [--viewers N,N]``. A master, an origin and three edges as
processes; ffmpeg publishes, the load generator plays LL-HLS at the edges. Prints a table and one line of JSON; asserts
nothing about time. It fails on a machine that is too slow for so many viewers: give a lower number.
"""

import argparse
import asyncio
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from rich.console import Console
from rich.table import Table

from airnode.web.tokens import Tokens
from tests.bench.bench import LoadGenerator
from tests.bench.source import loop_publisher
from tests.support.cluster import KEY, Cluster
from tests.support.ffmpeg import make_clip
from tests.support.node import AirnodeProcess
from tests.support.waiting import eventually

EDGES = 3
VIEWERS = "1,10,100"
#: Fan-out of the origin: all edges pull from it (one tier), or one does and the others pull from that one (two tiers).
FANOUTS = (EDGES, 1)
_ROOM = "stream"
_TOKENS = Tokens(KEY, 3600)


async def counted(session: aiohttp.ClientSession, node: AirnodeProcess) -> dict[str, float]:
    """Return what other nodes pulled from ``node`` so far: requests by kind, and edges that have a place."""
    async with session.get(f"{node['api_url']}/metrics") as response:
        text = await response.text()
    found = {
        kind: float(value)
        for kind, value in re.findall(r'^airnode_media_relay_requests_total\{kind="(\w+)"\} ([0-9.e+]+)$', text, re.M)
    }
    edges = re.search(r"^airnode_media_relay_edge_nodes ([0-9.e+]+)$", text, re.M)
    return {**found, "edges": float(edges[1]) if edges else 0.0}


async def served(session: aiohttp.ClientSession, node: AirnodeProcess) -> bool:
    token = _TOKENS.issue("first", "student", _ROOM)[0]
    async with session.get(f"{node['media_url']}/v/{token}/{_ROOM}/index.m3u8") as response:
        return response.status == 200


def house(node: AirnodeProcess, viewers: int, seconds: float) -> LoadGenerator:
    at = urlsplit(node["media_url"])
    tokens = [_TOKENS.issue(f"s{index}", "student", _ROOM)[0] for index in range(viewers)]
    return LoadGenerator(
        do="watch",
        host=at.hostname,
        port=at.port,
        entries=[f"/live/{_ROOM}/index.m3u8?jwt={token}" for token in tokens],
        ramp_s=viewers / 25,
        warm_s=2.0,
        seconds=seconds,
    )


async def measure(
    session: aiohttp.ClientSession,
    origin: AirnodeProcess,
    edges: Sequence[AirnodeProcess],
    viewers: int,
    seconds: float,
) -> dict[str, Any]:
    """Return requests per second of other nodes at the origin and the first edge, with ``viewers`` viewers per edge."""
    houses = [house(edge, viewers, seconds) for edge in edges]
    for each in houses:
        await each.__aenter__()
    try:
        await asyncio.gather(*(each.message(120) for each in houses))
        before = [await counted(session, node) for node in (origin, edges[0])]
        results = await asyncio.gather(*(each.message(seconds + 60) for each in houses))
        after = [await counted(session, node) for node in (origin, edges[0])]
    finally:
        for each in houses:
            await each.__aexit__(None, None, None)
    rates = [
        sum(now[kind] - then.get(kind, 0) for kind in ("playlist", "object")) / seconds
        for then, now in zip(before, after, strict=True)
    ]
    return {
        "viewers_per_edge": viewers,
        "origin_requests_per_s": rates[0],
        "origin_edges": after[0]["edges"],
        "first_edge_requests_per_s": rates[1],
        "first_edge_edges": after[1]["edges"],
        "viewer_requests_per_s": sum(each["requests"] for each in results) / seconds,
        "errors": sum(sum(each["errors"].values()) for each in results),
    }


async def topology(
    clip: Path, fanout: int, counts: Sequence[int], seconds: float, console: Console
) -> list[dict[str, Any]]:
    """Return figures of a cluster with this fan-out, for each number of viewers."""
    with tempfile.TemporaryDirectory(prefix="airnode-bench-") as directory:
        async with aiohttp.ClientSession() as session:
            cluster = Cluster(Path(directory), session)
            try:
                await cluster.start()
                origin, *edges = [
                    await cluster.add_slave(f"slave-{n}", "--set", f"relay.fanout={EDGES if n else fanout}")
                    for n in range(EDGES + 1)
                ]
                publisher = await loop_publisher(
                    f"{origin['rtmp_server']}/{cluster.master['stream_key']}", clip
                ).start()
                try:
                    for node in (origin, *edges):
                        await eventually(lambda node=node: served(session, node), 30, "the class is there")
                    found = []
                    for viewers in counts:
                        console.print(
                            f"relay.fanout {fanout}, {viewers} viewers on each of {EDGES} edges", highlight=False
                        )
                        one = await measure(session, origin, edges, viewers, seconds)
                        found.append({"fanout": fanout, **one})
                    return found
                finally:
                    await publisher.kill()
            finally:
                await cluster.close()


def show(found: list[dict[str, Any]], console: Console) -> None:
    table = Table(title=f"airnode relay benchmark: one origin, {EDGES} edges", title_justify="left", pad_edge=False)
    for name in (
        "fanout",
        "viewers/edge",
        "origin's edges",
        "origin's req/s",
        "1st edge's req/s",
        "viewers' req/s",
        "errors",
    ):
        table.add_column(name, justify="right")
    for each in found:
        table.add_row(
            str(each["fanout"]),
            str(each["viewers_per_edge"]),
            f"{each['origin_edges']:.0f}",
            f"{each['origin_requests_per_s']:.1f}",
            f"{each['first_edge_requests_per_s']:.1f}",
            f"{each['viewer_requests_per_s']:.0f}",
            str(each["errors"]),
        )
    console.print(table)


async def run(counts: Sequence[int], seconds: float, console: Console) -> list[dict[str, Any]]:
    kept = Path("bench-results")
    kept.mkdir(exist_ok=True)
    clip = make_clip(kept / "relay-360p30.flv", 30)
    return [each for fanout in FANOUTS for each in await topology(clip, fanout, counts, seconds, console)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON line only")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--viewers", default=VIEWERS, help="viewers on each edge, one measurement each")
    options = parser.parse_args()
    counts = [int(each) for each in options.viewers.split(",")]
    console = Console(stderr=True, quiet=options.json)
    found = asyncio.run(run(counts, options.seconds, console))
    if not options.json:
        show(found, console)
    print(json.dumps({"bench": "relay", "figures": found}))


if __name__ == "__main__":
    main()
