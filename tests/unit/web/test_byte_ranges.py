"""Byte ranges of a request."""

import pytest

from airnode.web.byte_ranges import RangeNotSatisfiable, requested_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 40 + "-", None),
        ("bytes=99-", (99, 100)),
    ],
)
def test_ranges(header: str, expected: tuple[int, int] | None):
    assert requested_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_ranges_behind_the_end(header: str):
    with pytest.raises(RangeNotSatisfiable) as refused:
        requested_range(header, 100)
    assert refused.value.size == 100
