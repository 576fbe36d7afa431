"""``airnode roles``: the installed roles as a table or as data."""

import json
from collections.abc import Sequence

from airnode.runtime.registry import installed

_HEADINGS = ("role", "needs", "includes", "from", "what it does")


def rows() -> list[dict[str, object]]:
    """Return one mapping per role: role, summary, needs, embeds, includes, package."""
    return [
        {
            "role": found.role.name,
            "summary": found.role.summary,
            "needs": sorted(map(str, found.role.needs)),
            "embeds": sorted(map(str, found.role.embeds)),
            "includes": list(found.role.includes),
            "package": found.distribution,
        }
        for found in installed()
    ]


def as_json_text(found: Sequence[dict[str, object]]) -> str:
    """Return the roles as JSON."""
    return json.dumps(found, indent=2)


def as_table(found: Sequence[dict[str, object]]) -> str:
    """Return the roles as aligned columns."""
    lines = [_HEADINGS, *(_line(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def _line(row: dict[str, object]) -> tuple[str, ...]:
    def listed(key: str) -> str:
        values = row[key]
        return ", ".join(map(str, values)) if isinstance(values, list) and values else "-"

    return (str(row["role"]), listed("needs"), listed("includes"), str(row["package"]), str(row["summary"]))
