"""What airnode changes in a MediaMTX that it did not start, and changes back."""

from collections.abc import Mapping
from typing import Any

import pytest

from airnode.media.mediamtx.adoption import Adoption

REQUIRED = {"authMethod": "http", "authHTTPAddress": "http://127.0.0.1:1/mediamtx/x"}
DEFAULTS = {
    "authMethod": "internal",
    "authHTTPAddress": "",
    "authHTTPExclude": [],
    "apiAddress": "127.0.0.1:9997",
    "hlsAddress": "127.0.0.1:8888",
}
API = {"action": "api", "path": ""}


class Api:
    def __init__(self, **changed: Any) -> None:
        self.values: dict[str, Any] = {**DEFAULTS, **changed}

    async def config(self) -> dict[str, Any]:
        return dict(self.values)

    async def configure(self, values: Mapping[str, Any]) -> None:
        self.values |= values


async def test_the_api_stays_open_to_this_machine():
    api = Api(authHTTPExclude=[{"action": "metrics", "path": ""}])
    await Adoption(api, "http://127.0.0.1:9997").adopt(REQUIRED)
    assert api.values["authHTTPExclude"] == [{"action": "metrics", "path": ""}, API]
    assert api.values["apiAddress"] == "127.0.0.1:9997"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9997", "127.0.0.1:9997"),
        ("http://localhost:9997", "127.0.0.1:9997"),
        ("http://[::1]:9997", "[::1]:9997"),
    ],
)
async def test_an_api_on_all_addresses_is_moved_to_loopback(url: str, address: str):
    api = Api(apiAddress=":9997")
    await Adoption(api, url).adopt(REQUIRED)
    assert (api.values["apiAddress"], api.values["authHTTPExclude"]) == (address, [API])


async def test_an_api_that_is_used_at_a_public_address_is_not_opened():
    api = Api(apiAddress=":9997")
    await Adoption(api, "http://192.0.2.1:9997").adopt(REQUIRED)
    assert (api.values["apiAddress"], api.values["authHTTPExclude"]) == (":9997", [])


async def test_all_values_are_restored_also_after_a_second_adoption():
    api = Api(apiAddress=":9997")
    adoption = Adoption(api, "http://127.0.0.1:9997")
    await adoption.adopt(REQUIRED)
    await adoption.adopt(REQUIRED)  # MediaMTX did not answer for a moment
    await adoption.restore()
    assert api.values == {**DEFAULTS, "apiAddress": ":9997"}
