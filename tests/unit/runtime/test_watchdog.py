import asyncio
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from airnode.runtime import sdnotify
from airnode.runtime.watchdog import LoopWatchdog
from tests.support.waiting import eventually

# -- systemd --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool):
    address = f"\0airnode-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        assert sdnotify.notify("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@airnode-nobody-listens"])
def test_no_systemd(monkeypatch: pytest.MonkeyPatch, address: str):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not sdnotify.notify("READY=1")


# -- the event loop -------------------------------------------------------------------------------------------------


async def test_a_blocked_loop_is_measured_and_logged():
    registry = CollectorRegistry()
    watchdog = LoopWatchdog(registry)
    await watchdog.start()
    try:
        loop = asyncio.get_running_loop()

        def late() -> float:
            return registry.get_sample_value("airnode_loop_lag_seconds") or 0.0

        def count(bucket: str) -> float:
            name = "airnode_loop_lag_distribution_seconds_bucket"
            return registry.get_sample_value(name, {"le": bucket}) or 0.0

        await eventually(lambda: count("+Inf") >= 1, what="a sample")
        until_s = loop.time() + 1.0
        while loop.time() < until_s:
            pass
        await eventually(lambda: late() > 0.25, what="the lag is seen")
        assert count("+Inf") > count("0.25")
    finally:
        await watchdog.stop()
    await watchdog.stop()
