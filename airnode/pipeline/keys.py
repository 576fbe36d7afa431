"""The pipeline's Redis keys."""

from airnode.bus.keys import PREFIX

#: The election of the process that relays the outbox of classes.
CLASSROOM_RELAY = "classroom-relay"
#: The group of leases of its candidates that go before the others.
CLASSROOM_RELAY_FIRST = "classroom-relay-first"

# -- the data pipeline, counted over all processes ---------------------------------------------------------------------


def pipeline_totals() -> str:
    """Return the key of a hash {"produced:orders": events so far, …}."""
    return f"{PREFIX}pipeline:{{pipeline}}:totals"


def pipeline_minute(minute: int) -> str:
    """Return the key of a hash: counts and the highest lag of a minute (unix seconds / 60); expires after two hours."""
    return f"{PREFIX}pipeline:{{pipeline}}:minute:{minute}"


def pipeline_reported(reporter: str) -> str:
    """Return the key of a string: number of the last report of a process; it keeps a report from counting twice."""
    return f"{PREFIX}pipeline:{{pipeline}}:told:{reporter}"


# -- the cache of users and products: these names are promised to other programs ---------------------------------------


def cache(table: str) -> str:
    """Return the key of a hash {id: JSON} of ``users`` or ``products``."""
    return f"cache:{table}"


def cache_next(table: str, nonce: str) -> str:
    """Return the key of a hash: the next content of a cached table while it is filled; in the slot of :func:`cache`."""
    return f"{{cache:{table}}}:next:{nonce}"


def cache_state(table: str) -> str:
    """Return the key of a hash {epoch, generation, rounds, refreshed_ms}; in the slot of :func:`cache`."""
    return f"{{cache:{table}}}:state"


def cache_stats() -> str:
    """Return the key of a hash of the counters of readers and the cache-worker."""
    return "cache:stats"
