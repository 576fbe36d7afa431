"""Rules of the chat section."""

import pytest

from airnode.config import load
from airnode.errors import ConfigError


def given(flags=None, env=None):
    return load(flags=flags or {}, files=[], env=env or {})


def test_open_access_on_a_public_address_takes_set():
    with pytest.raises(ConfigError, match=r"everybody who reaches 0\.0\.0\.0 into every room"):
        given(env={"AIRNODE_CHAT__ACCESS": "open"})
    assert given(flags={"chat.access": "open"}).settings.chat.access == "open"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_open_access_on_this_machine_takes_nothing_more(host):
    env = {"AIRNODE_CHAT__ACCESS": "open", "AIRNODE_HTTP__HOST": host}
    assert given(env=env).settings.chat.access == "open"


def test_a_client_is_slow_before_it_is_cut():
    with pytest.raises(ConfigError, match="must be above chat"):
        given(flags={"chat.cut_bytes": "100KiB"})
