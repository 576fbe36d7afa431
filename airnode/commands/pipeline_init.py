"""``airnode pipeline init``: says what is there and what was made."""

from typing import Any

from airnode.config.model import Settings
from airnode.pipeline.access import PIPELINE_ACCESS
from airnode.pipeline.preconditions import init
from airnode.runtime.open_stores import open_stores
from airnode.runtime.resources import Resource


async def run(settings: Settings, *, grow: bool) -> dict[str, Any]:
    """Make what is missing. Raises StartupError with what to do."""
    async with open_stores(settings, PIPELINE_ACCESS, Resource.POSTGRES, Resource.EVENT_LOG) as stores:
        made = await init(stores.postgres, stores.event_log, settings.eventlog.partitions, grow=grow)
        return {
            "database": stores.postgres.address,
            "schema_version": made.schema_version,
            "migrations_applied": made.migrations,
            "event_log": stores.event_log.address,
            "topics": {
                topic: {
                    "partitions": partitions,
                    "made": topic in made.created,
                    "grown_from": made.grown.get(topic),
                }
                for topic, partitions in made.topics.items()
            },
        }


def text(document: dict[str, Any]) -> str:
    """For people."""
    applied = document["migrations_applied"]
    schema = f"schema {document['schema_version']}, " + (f"applied {', '.join(applied)}" if applied else "up to date")
    lines = [f"Database   {document['database']}: {schema}", f"Event log  {document['event_log']}"]
    for topic, facts in document["topics"].items():
        word = "made" if facts["made"] else "there already"
        if facts["grown_from"] is not None:
            word = f"had {facts['grown_from']}"
        count = facts["partitions"]
        lines.append(f"  {topic.ljust(14)}{count} {'partition' if count == 1 else 'partitions'}, {word}")
    return "\n".join(lines)
