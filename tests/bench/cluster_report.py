"""The output of the cluster benchmark: one row for each step, a table, and a JSON document."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.report import machine

TITLES = {"live": "live.mp4", "hls": "LL-HLS"}


@dataclass(frozen=True)
class Row:
    """One step. CPU in cores, rates in Mbit/s, latencies in ms since the media arrived at the origin."""

    way: str
    source_mbps: float
    viewers: int
    stalls: int
    stalled_viewers: int
    stalled_s: float
    jumps: int
    errors: dict[str, int]
    behind_ms: dict[str, float]
    out_mbps: dict[str, float]
    out_total_mbps: float
    cpu: dict[str, float]
    children_cpu: float
    generator_cpu: float
    machine_cpu: float
    cores: int
    node_lag_p99_ms: float
    generator_turn_p99_ms: float
    limit: str
    load1: float

    @property
    def good(self) -> bool:
        """Return whether every viewer played without a stall."""
        return not self.stalls and not self.stalled_viewers and not self.errors and not self.jumps


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    ways: tuple[str, ...]
    steps: tuple[int, ...]
    high_steps: tuple[int, ...]
    seconds: float


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title="airnode cluster benchmark: a master and 3 slaves", title_justify="left", pad_edge=False)
    for name in (
        "way",
        "Mbit/s",
        "viewers",
        "stalls",
        "errors",
        "behind live p50/p95/p99 ms",
        "out Mbit/s (per slave)",
        "CPU slaves",
        "master+stores",
        "generator",
        "machine",
        "loop p99 ms",
        "limit",
    ):
        table.add_column(name, justify="left" if name in ("way", "limit") else "right")
    for row in rows:
        slaves = [value for name, value in row.cpu.items() if name != "master"]
        table.add_row(
            TITLES[row.way],
            f"{row.source_mbps:.2f}",
            str(row.viewers),
            f"[{'green' if not row.stalls else 'red'}]{row.stalls}[/]",
            str(sum(row.errors.values())),
            "/".join(f"{row.behind_ms[name]:.0f}" for name in ("p50", "p95", "p99")),
            f"{row.out_total_mbps:.0f} ({'/'.join(f'{each:.0f}' for each in row.out_mbps.values())})",
            "/".join(f"{each * 100:.0f}" for each in slaves) + " %",
            f"{(row.cpu['master'] + row.children_cpu) * 100:.0f} %",
            f"{row.generator_cpu * 100:.0f} %",
            f"{row.machine_cpu:.1f} of {row.cores}",
            f"≤{row.node_lag_p99_ms:.0f}, {row.generator_turn_p99_ms:.0f}",
            row.limit,
        )
    console.print(table)
    console.print("CPU in % of a core. Loop: the slowest slave's lag, the slower generator's turns.")
    console.print("Target: 0 stalls at 500 viewers.")


def document(rows: Sequence[Row], options: Options) -> dict[str, Any]:
    """Return all rows and options as JSON values."""
    at_500 = [row for row in rows if row.viewers == 500 and row.source_mbps < 1]
    return {
        "bench": "cluster",
        "machine": machine(),
        "options": asdict(options),
        "rows": [{name: _finite(value) for name, value in asdict(row).items()} for row in rows],
        "no_stalls_at_500": {row.way: row.stalls == 0 for row in at_500},
        "most_without_stalls": {
            f"{row.way} {row.source_mbps:g} Mbit/s": row.viewers for row in sorted(rows, key=_order) if row.good
        },
    }


def _finite(value: Any) -> Any:
    """Return the value; None in place of infinity and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _order(row: Row) -> int:
    return row.viewers
