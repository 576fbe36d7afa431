"""The order in which the services of a role start."""

import pytest

from airnode.errors import StartupError
from airnode.kernel.service import Service
from airnode.runtime.role import Ordered, start_order


def services(names: str) -> dict[str, Service]:
    found = {}
    for name in names.split():
        found[name] = Service()
        found[name].name = name
    return found


def order(after: dict[str, str]) -> list[str]:
    """Return the names in their order. ``after`` is {name: names of those that start before it}."""
    known = services("a b c d elsewhere")
    entries = [
        Ordered(known[name], tuple(known[each] for each in others.split())) if others else known[name]
        for name, others in after.items()
    ]
    return [service.name for service in start_order("tiny", entries)]


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"a": "", "b": "", "c": ""},
        {"c": "b", "b": "a", "a": ""},
        {"d": "b c", "c": "a", "b": "a", "a": ""},
    ],
)
def test_a_service_starts_after_those_it_depends_on(after: dict[str, str]):
    found = order(after)
    assert sorted(found) == sorted(after)
    for name, others in after.items():
        assert all(found.index(other) < found.index(name) for other in others.split())


@pytest.mark.parametrize(
    ("after", "error"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "tiny wait for each other: a -> b -> c -> a"),
        ({"a": "a"}, "tiny wait for each other: a -> a"),
        ({"a": "elsewhere"}, "tiny starts a after elsewhere, which is not among its services"),
    ],
)
def test_an_order_that_cannot_be_kept_is_an_error(after: dict[str, str], error: str):
    with pytest.raises(StartupError, match=error):
        order(after)
