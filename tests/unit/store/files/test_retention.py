"""Which stored items have to go."""

import random

from airnode.store.files.retention import StoredItem, expired


def kept(*ages_s: float | None, size: int = 10) -> list[StoredItem]:
    """Recordings by how long ago they ended; None: still running. The first is the oldest."""
    made = [
        StoredItem(f"r{n}", 1000.0 + n, None if age is None else 10_000 - age, size) for n, age in enumerate(ages_s)
    ]
    random.Random(1).shuffle(made)
    return made


def test_nothing_goes_without_a_limit():
    assert expired(kept(9000, 5, None), 10_000, max_age_s=None, max_bytes=None) == []


def test_old_ones_go_and_running_ones_never():
    assert expired(kept(None, 500, 101, 99, 5), 10_000, max_age_s=100, max_bytes=None) == ["r1", "r2"]


def test_the_oldest_go_until_the_rest_fits():
    assert expired(kept(50, 40, 30, 20), 10_000, max_age_s=None, max_bytes=25) == ["r0", "r1"]
    assert expired(kept(None, 40, 30, None), 10_000, max_age_s=None, max_bytes=15) == ["r1", "r2"]
    assert expired(kept(50, 40), 10_000, max_age_s=None, max_bytes=20) == []


def test_what_goes_for_its_age_makes_room():
    assert expired(kept(500, 40, 30), 10_000, max_age_s=100, max_bytes=20) == ["r0"]
