"""Measures the cost of streams and viewers: CPU, memory, and how late viewers get their data."""

import asyncio
import math
from contextlib import AsyncExitStack, suppress
from typing import Any

from tests.bench.bench import Bench, LoadGenerator, Running
from tests.bench.meters import Usage, slope
from tests.bench.report import Figure
from tests.support.waiting import eventually

_STREAMS = 10
_VIEWERS = 150
_SOAK_VIEWERS = 20
#: After this time the window is full and the extra load of a publisher's start is over.
_SETTLE_S = 12.0


async def streams(bench: Bench) -> None:
    """Measure CPU and memory per stream without viewers."""
    async with bench.node() as node, AsyncExitStack() as publishers:
        urls = await node.add_classes(_STREAMS)
        idle, idle_kib = await _usage(bench, node, "idle"), node.meter.rss_kib()
        await publishers.enter_async_context(bench.stream(urls[0]))
        await node.live()
        one, one_kib = await _usage(bench, node, "1 stream"), node.meter.rss_kib()
        for url in urls[1:]:
            await publishers.enter_async_context(bench.stream(url))
        await node.live(_STREAMS)
        many, many_kib = await _usage(bench, node, f"{_STREAMS} streams"), node.meter.rss_kib()
        window_kib = (await node.metrics())["airnode_media_window_bytes"] / 1024
    each = (many.own - idle.own) / _STREAMS
    bench.report.add(
        "streams",
        Figure("cpu_idle", "CPU idle, airnode process", idle.own * 100, "% core"),
        Figure("cpu_idle_children", "CPU idle, embedded servers", idle.children * 100, "% core"),
        Figure("cpu_stream_of_1", "CPU a stream, 1 stream", (one.own - idle.own) * 100, "% core", 1),
        Figure("cpu_stream_of_10", f"CPU a stream, {_STREAMS} streams", each * 100, "% core", 1),
        Figure("cpu_children_of_10", f"CPU of the embedded servers, {_STREAMS} streams", many.children * 100, "% core"),
        Figure("rss_stream_1", "RSS of the first stream", one_kib - idle_kib, "KiB"),
        Figure("rss_stream", f"RSS a stream, {_STREAMS} streams", (many_kib - idle_kib) / _STREAMS, "KiB"),
        Figure("window_stream", "... of which media in the window", window_kib / _STREAMS, "KiB"),
    )
    bench.report.details["streams"] = {"machine_busy_cores": [each.machine for each in (idle, one, many)]}


async def _usage(bench: Bench, node: Running, what: str) -> Usage:
    bench.progress(f"CPU, {what}")
    await asyncio.sleep(_SETTLE_S)
    before = node.meter.read()
    await asyncio.sleep(bench.seconds)
    return node.meter.since(before)


async def viewers(bench: Bench) -> None:
    """Measure 150 low-latency viewers on one stream."""
    async with bench.node() as node, bench.stream(node.process["rtmp_url"]):
        await node.live()
        await asyncio.sleep(_SETTLE_S)
        idle_kib, idle_tasks = node.meter.rss_kib(), node.meter.fds()
        bench.progress(f"{_VIEWERS} viewers join")
        async with _load(node, _VIEWERS, bench.seconds) as load:
            joined = await load.message(90)
            before, lags = node.meter.read(), await node.metrics()
            result = await load.message(bench.seconds + 30)
            usage, later = node.meter.since(before), await node.metrics()
            full_kib, full_fds = node.meter.rss_kib(), node.meter.fds()
            counted = await _counted(node)
    errors = result["errors"]
    part, late = result["part_ms"], result["playlist_late_ms"]
    rate = result["requests"] / result["seconds"]
    bench.report.add(
        "viewers",
        Figure("viewers_cpu", f"CPU, {_VIEWERS} viewers, airnode process", usage.own * 100, "% core", 20),
        Figure("viewers_cpu_children", "CPU, embedded servers", usage.children * 100, "% core"),
        Figure("viewers_errors", "errors", sum(errors.values()), "", 0),
        Figure("viewers_requests", "requests", rate, "/s"),
        Figure("viewers_request_cpu", "CPU a request", usage.own / rate * 1e6, "µs"),
        Figure("viewers_rate", "media sent", result["received_bytes"] * 8 / result["seconds"] / 1e6, "Mbit/s"),
        Figure("viewers_part_p50", "part fetch p50", part["p50"], "ms"),
        Figure("viewers_part_p95", "part fetch p95", part["p95"], "ms"),
        Figure("viewers_part_p99", "part fetch p99", part["p99"], "ms"),
        Figure("viewers_late_p50", "playlist after the first viewer's p50", late["p50"], "ms"),
        Figure("viewers_late_p99", "playlist after the first viewer's p99", late["p99"], "ms"),
        Figure("viewers_counted", "viewers that the page counts", counted, f"of {_VIEWERS}"),
        Figure("rss_viewer", "RSS a viewer", (full_kib - idle_kib) / _VIEWERS, "KiB"),
    )
    bench.report.details["viewers"] = {
        **result,
        "joining_errors": joined["joining_errors"],
        "machine_busy_cores": usage.machine,
        "fds": [idle_tasks, full_fds],
        "loop_lags": _lags(lags, later),
    }


async def _counted(node: Running) -> int:
    """Return the number of viewers on the page, after the room's next report."""

    async def all_there() -> bool:
        return await node.viewers() == _VIEWERS

    with suppress(AssertionError):
        await eventually(all_there, 10)
    return await node.viewers()


def _load(node: Running, count: int, seconds: float) -> LoadGenerator:
    host, port = node.media
    return LoadGenerator(
        do="watch",
        host=host,
        port=port,
        entries=node.entries(count),
        ramp_s=count / 25,
        warm_s=3.0,
        seconds=seconds,
    )


def _lags(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return {upper bound in s: how often the event loop was late by at most that, between two readings}."""
    name = 'airnode_loop_lag_distribution_seconds_bucket{le="'
    return {each[len(name) : -2]: after[each] - before.get(each, 0) for each in after if each.startswith(name)}


async def soak(bench: Bench) -> None:
    """Measure whether anything grows with one stream and 20 viewers over a long time."""
    seconds = bench.soak_minutes * 60
    period_s = min(60.0, seconds / 12)
    rows: list[dict[str, float]] = []
    async with bench.node() as node, bench.stream(node.process["rtmp_url"]):
        await node.live()
        async with _load(node, _SOAK_VIEWERS, seconds) as load:
            joined = await load.message(90)
            loop = asyncio.get_running_loop()
            started_s = loop.time()
            before = node.meter.read()
            for index in range(1, round(seconds / period_s) + 1):
                await asyncio.sleep(started_s + index * period_s - loop.time())
                rows.append(await _row(node, (loop.time() - started_s) / 60))
                bench.progress("soak {minutes:.1f} min: RSS {rss_kib:.0f} KiB, {fds:.0f} fds".format(**rows[-1]))
            usage = node.meter.since(before)
            result = await load.message(60)
    second_half = rows[len(rows) // 2 :]

    def grows(name: str) -> float:
        return slope([(row["minutes"], row[name]) for row in second_half]) if len(second_half) > 1 else math.nan

    first, last = second_half[0], rows[-1]
    bench.report.add(
        "soak",
        Figure("soak_minutes", f"1 stream, {_SOAK_VIEWERS} viewers for", bench.soak_minutes, "min"),
        Figure("soak_rss", "RSS at the end", last["rss_kib"], "KiB"),
        Figure("soak_rss_slope", "RSS growth over the second half", grows("rss_kib"), "KiB/min"),
        Figure("soak_children_slope", "RSS growth of the embedded servers", grows("children_rss_kib"), "KiB/min"),
        Figure("soak_fds", "open files, end less middle", last["fds"] - first["fds"], ""),
        Figure("soak_window", "window, end less middle", last["window_kib"] - first["window_kib"], "KiB"),
        Figure("soak_cpu", "CPU, airnode process", usage.own * 100, "% core"),
        Figure("soak_errors", "errors", sum(result["errors"].values()), "", 0),
        Figure("soak_part_p99", "part fetch p99", result["part_ms"]["p99"], "ms"),
    )
    bench.report.details["soak"] = {"rows": rows, "joining_errors": joined["joining_errors"], **result}


async def _row(node: Running, minutes: float) -> dict[str, Any]:
    metrics = await node.metrics()
    return {
        "minutes": minutes,
        "rss_kib": node.meter.rss_kib(),
        "children_rss_kib": node.meter.children_rss_kib(),
        "fds": node.meter.fds(),
        "window_kib": metrics["airnode_media_window_bytes"] / 1024,
        "viewers": metrics["airnode_media_viewers"],
    }
