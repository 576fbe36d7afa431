"""The figures of a run, as a table and as a JSON document."""

import json
import math
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import airnode
from tests.bench.meters import load1


class Skipped(Exception):
    """A scenario was skipped; the text is the reason."""


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        key: stable name for scripts.
        at_most: the target; None if there is none.
        load1: load average of the machine when it was measured.
    """

    key: str
    title: str
    value: float
    unit: str
    at_most: float | None = None
    load1: float = field(default_factory=load1)

    @property
    def met(self) -> bool | None:
        return None if self.at_most is None or math.isnan(self.value) else self.value <= self.at_most


@dataclass
class Report:
    """The figures that were measured so far."""

    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    #: {scenario: why there are no figures}
    missing: dict[str, str] = field(default_factory=dict)
    failed: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    #: What was measured.
    bench: str = "media"

    def add(self, scenario: str, *figures: Figure) -> None:
        self.figures.setdefault(scenario, []).extend(figures)

    def document(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        figures = [
            {"scenario": name, **asdict(figure), "value": _number(figure.value), "met": figure.met}
            for name, found in self.figures.items()
            for figure in found
        ]
        return {
            "bench": self.bench,
            "started": self.started,
            "machine": machine(),
            "figures": figures,
            "missing": self.missing,
            "details": self.details,
        }

    def json(self) -> str:
        return json.dumps(self.document(), allow_nan=False, separators=(",", ":"))

    def publish(self, console: Console, json_path: Path | None) -> None:
        """Print the table on the console and the JSON on standard output; write the JSON to a file too."""
        self.print(console)
        if json_path is not None:
            json_path.parent.mkdir(parents=True, exist_ok=True)
            json_path.write_text(self.json() + "\n")
        print(self.json())

    def print(self, console: Console) -> None:
        table = Table(title=f"airnode {self.bench} benchmark", caption=_caption(), title_justify="left", pad_edge=False)
        table.add_column("figure")
        for name in ("value", "target", "", "load"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, found in self.figures.items():
            table.add_section()
            table.add_row(f"[bold]{name}[/bold]")
            for figure in found:
                table.add_row(*_row(figure))
        for name, why in self.missing.items():
            table.add_section()
            table.add_row(f"[bold]{name}[/bold]: [yellow]{why}[/yellow]")
        console.print(table)


def machine() -> dict[str, Any]:
    """Return the machine and the software versions of the measurement."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "airnode": airnode.__version__,
        "commit": commit.stdout.strip(),
        "load1": load1(),
    }


def _row(figure: Figure) -> tuple[str, ...]:
    target = "" if figure.at_most is None else f"≤ {_text(figure.at_most)} {figure.unit}"
    verdict = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}[figure.met]
    return f"  {figure.title}", f"{_text(figure.value)} {figure.unit}", target, verdict, f"{figure.load1:.1f}"


def _text(value: float) -> str:
    if math.isnan(value):
        return "-"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _caption() -> str:
    found = machine()
    return f"{found['cores']} cores, Python {found['python']}, commit {found['commit']}; load: 1 min average"
