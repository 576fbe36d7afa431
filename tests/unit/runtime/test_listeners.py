import asyncio
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from airnode.errors import StartupError
from airnode.runtime import sdnotify
from airnode.runtime.watchdog import LoopWatchdog
from airnode.web.sockets import bind, tls_context
from tests.support.waiting import eventually


def test_a_free_port_is_found():
    sockets = bind("127.0.0.1", 0, "tests", "--port")
    try:
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1"]
        assert sockets[0].getsockname()[1] > 0
    finally:
        for sock in sockets:
            sock.close()


def test_all_addresses_of_a_name_get_the_same_port():
    sockets = bind("localhost", 0, "tests", "--port")
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"Port {port} for tests is in use.*--port"):
            bind("127.0.0.1", port, "tests", "--port")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "256.0.0.1"])
def test_an_address_that_is_not_ours(host):
    with pytest.raises(StartupError, match=r"Cannot listen on .*--host"):
        bind(host, 0, "tests", "--port")


def test_unusable_certificates(tmp_path: Path):
    assert tls_context(None, None) is None
    cert = tmp_path / "cert.pem"
    with pytest.raises(StartupError, match=r"cert\.pem.*No such file"):
        tls_context(cert, tmp_path / "key.pem")
    cert.write_text("nonsense")
    with pytest.raises(StartupError, match=r"cert\.pem.*cannot be used"):
        tls_context(cert, cert)


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
