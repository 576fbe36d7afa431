"""What people type into the fields of an encoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.media.rtmp.stream_names import read_stream_name

KEY = "0123456789abcdef0123456789abcd"
URL = "rtmp://h/live"


@pytest.mark.parametrize(
    ("app", "tc_url", "name", "expected"),
    [
        ("live", "rtmp://h/live", "key", ("live", "key", {}, "key")),
        ("live/", "rtmp://h/live/", "room?key=k", ("live", "room", {"key": "k"}, "k")),
        ("live?key=k", "rtmp://h/live?key=k", "room", ("live", "room", {"key": "k"}, "k")),
        ("live", "rtmp://h/live?key=k", "room", ("live", "room", {"key": "k"}, "k")),
        ("live?key=b", "rtmp://h/live?key=c", "room?key=a", ("live", "room", {"key": "a"}, "a")),
        ("live", "", "room?" + "a&" * 100, ("live", "room", {}, "room")),
        ("live", "", "room?key=", ("live", "room", {"key": ""}, "room")),
        ("live", "", "", ("live", "", {}, "")),
        ("", "", "key", ("", "key", {}, "key")),
    ],
)
def test_names_and_queries(app: str, tc_url: str, name: str, expected: tuple[str, str, dict[str, str], str]) -> None:
    assert read_stream_name(app, tc_url, name) == expected


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("live", KEY),
        ("live", f" {KEY}"),
        ("live", f"{KEY}\r\n"),
        ("live", f"\t{KEY} \n"),
        ("live", f'"{KEY}"'),
        ("live", f"'{KEY}' "),
        ("live", f"\u201c{KEY}\u201d"),
        ("live", f"`{KEY}`"),
        ("live", f"<{KEY}>"),
        ("live", f"\ufeff\u200b{KEY}\u00a0"),
        ("live", f"/{KEY}"),
        ("live", f"{KEY}/"),
        ("live", f" /{KEY}/ "),
        ("live", f"{KEY}?"),
        ("live", f"{KEY}?bandwidthtest=true"),
        ("live", f"{KEY}%20"),
        ("live", f"{KEY}%0A"),
        ("live", "%30" + KEY[1:]),
        ("live", f"?key={KEY}"),
        ("live", f"?key= {KEY} "),
        ("live", f"?key={KEY}%0d%0a"),
        ("live", f"rtmp://h/live/{KEY}"),
        ("live", f" rtmp://h:1935/live/{KEY}/ "),
        ("live", f"rtmps://h/live/{KEY}?a=b"),
        ("live", f"rtmp://h/live?key={KEY}"),
        ("live", f"rtmp://h/live/?key={KEY}"),
        ("live", f"rtmp://h/{KEY}"),
        (f"live/{KEY}", ""),
        (f"live/{KEY}/", ""),
        (f" live/{KEY} ", " "),
        (f"live/{KEY}", KEY),
        (f"live/{KEY}?a=b", ""),
        (f"live?key={KEY}", ""),
        ("live/old-key", KEY),
        ("/live/", KEY),
        ("live%20", KEY),
    ],
)
def test_a_key_is_found(app: str, name: str) -> None:
    read = read_stream_name(app, f"rtmp://h/{app}", name)
    assert (read.app, read.key) == ("live", KEY)


def test_a_room_and_its_key_in_the_server_field() -> None:
    assert read_stream_name(f"live/algebra?key={KEY}", "", "") == ("live", "algebra", {"key": KEY}, KEY)
    assert read_stream_name("live", URL, f"rtmp://h/live/algebra?key={KEY}")[1:] == ("algebra", {"key": KEY}, KEY)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_text(app: str, tc_url: str, name: str) -> None:
    read = read_stream_name(app, tc_url, name)
    assert "?" not in read.app + read.name or "%" in app + name
    assert read.key == (read.params.get("key") or read.name)
