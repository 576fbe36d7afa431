"""Durations and sizes as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airnode.config.units import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("1.5s", 1.5), ("2m", 120), ("2min", 120), (" 1 h ", 3600), ("1D", 86400), (7, 7), (0.5, 0.5)],
)
def test_seconds(text: object, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512KiB", 512 << 10), ("5MB", 5_000_000), ("1.5 GiB", 3 << 29), ("7b", 7), ("1k", 1024), ("0.1kb", 100), (9, 9)],
)
def test_bytes(text: object, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["5 parsecs", "5MiB"])
def test_unknown_unit_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="unknown unit of time"):
        parse_seconds(text)


def test_unknown_unit_of_size() -> None:
    with pytest.raises(ValueError, match="unknown unit of size"):
        parse_bytes("5 min")


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.lists(st.integers())))
def test_only_value_errors(value: object) -> None:
    for parse in (parse_seconds, parse_bytes):
        try:
            parse(value)
        except ValueError:
            continue


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=1 << 60), st.sampled_from(["B", "KiB", "MiB", "GiB"]))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    assert parse_bytes(f"{number}{unit}") == number << {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
