import socket
from pathlib import Path

import pytest

from airnode.errors import StartupError
from airnode.web.sockets import bind, require_free, tls_context


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
        with pytest.raises(StartupError, match=f"Port {port} for tests is in use.*--port"):
            require_free("127.0.0.1", port, "tests", "--port")


def test_a_port_that_was_found_free_stays_free():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    for _ in range(2):
        require_free("127.0.0.1", port, "tests", "--port")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "256.0.0.1"])
def test_an_address_of_another_machine(host):
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
