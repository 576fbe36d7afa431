"""Configures a MediaMTX that airnode did not start (``mediamtx.api_url``), and restores its values at the end.

Changes are made through its API and last until MediaMTX stops. With ``authMethod: http``, MediaMTX asks airnode's hook
for its API too, and refuses everybody after airnode has stopped, even a new airnode. So the API is excluded from this.
airnode has no password for the API, so it was open to this machine before. It must not become open to other machines:
if it does not listen on loopback, it is moved to loopback.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from airnode.errors import AirnodeError
from airnode.kernel.urls import host_port, url_host
from airnode.media.mediamtx.api import MediaMtxApi
from airnode.media.mediamtx.config_file import Value, changed_values, is_loopback

log = structlog.get_logger(__name__)

_API = {"action": "api", "path": ""}


class Adoption:
    """A running MediaMTX that airnode uses.

    Args:
        api_url: ``mediamtx.api_url``.
    """

    def __init__(self, api: MediaMtxApi, api_url: str) -> None:
        self._api = api
        self._api_host = urlsplit(api_url).hostname or "127.0.0.1"
        #: {name of a setting: its value before airnode changed it}.
        self._before: dict[str, Any] = {}
        self.hls_url = ""

    async def adopt(self, required: Mapping[str, Value]) -> None:
        """Change the values that airnode requires, and read the address of MediaMTX's HLS.

        Raises:
            Unavailable: the API does not answer, or refuses.
        """
        current = await self._api.config()
        changes = changed_values(current, {**required, **self._api_access(current)})
        for name in changes:
            self._before[name] = current.get(name)
        if changes:
            await self._api.configure(changes)
        address = str(current.get("hlsAddress", ":8888"))
        if not is_loopback(address):
            log.warning("mediamtx_hls_not_on_loopback", address=address)
        self.hls_url = f"http://{url_host(self._api_host)}:{address.rpartition(':')[2]}"
        log.info("mediamtx_adopted", changed=sorted(changes))

    async def restore(self) -> None:
        """Restore the values that were changed."""
        before = {name: value for name, value in self._before.items() if value is not None}
        if not before:
            return
        try:
            await self._api.configure(before)
        except AirnodeError as error:
            log.warning("mediamtx_not_restored", error=error.detail)
        else:
            log.info("mediamtx_restored", changed=sorted(before))
        self._before.clear()

    def _api_access(self, current: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values that keep the API open to this machine only."""
        address = str(current.get("apiAddress", ":9997"))
        host = "127.0.0.1" if self._api_host == "localhost" else self._api_host
        wanted = address if is_loopback(address) else host_port(host, int(address.rpartition(":")[2]))
        if not is_loopback(wanted):
            log.warning("mediamtx_api_not_on_loopback", address=address, api_url_host=self._api_host)
            return {}
        excluded: list[dict[str, str]] = list(current.get("authHTTPExclude") or [])
        if not any(each.get("action") == "api" for each in excluded):
            excluded.append(_API)
        return {"authHTTPExclude": excluded, "apiAddress": wanted}
