import ipaddress
import socket

import pytest

from airnode.web.addresses import (
    Addresses,
    PortName,
    is_loopback,
    lan_address,
    publish_servers,
    publish_urls,
    rtmp_server,
)

PORTS = {PortName.HTTP: 8000, PortName.MEDIA: 8888}


@pytest.mark.parametrize(
    ("hostname", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("::1", True),
        ("192.168.0.12", False),
        ("school.example", False),
        ("localhost.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_is_loopback(hostname, loopback):
    assert is_loopback(hostname) is loopback


@pytest.mark.parametrize(
    ("configured", "listens_on", "local"),
    [
        ("", "0.0.0.0", "localhost"),
        ("", "", "localhost"),
        ("", "::", "localhost"),
        ("", "127.0.0.1", "localhost"),
        ("", "::1", "[::1]"),
        ("", "192.168.0.12", "192.168.0.12"),
        ("", "fd00::12", "[fd00::12]"),
        ("school.example", "0.0.0.0", "school.example"),
        ("fd00::12", "::", "[fd00::12]"),
        ("[fd00::12]", "::", "[fd00::12]"),
    ],
)
def test_the_host_for_a_client_on_this_machine(configured, listens_on, local):
    addresses = Addresses(configured, listens_on, False, dict(PORTS))
    assert addresses.local_host == local
    assert addresses.url(PortName.HTTP) == f"http://{local}:8000"


def test_the_host_for_a_client_on_another_machine():
    assert Addresses("", "127.0.0.1", False).network_host is None
    assert Addresses("", "::1", False).network_host is None
    assert Addresses("", "192.168.0.12", False).network_host == "192.168.0.12"
    assert Addresses("", "fd00::12", False).network_host == "[fd00::12]"
    assert Addresses("school.example", "127.0.0.1", False).network_host == "school.example"
    assert Addresses("", "0.0.0.0", False).network_host == lan_address()


def test_tls_changes_the_scheme():
    addresses = Addresses("school.example", "0.0.0.0", True, dict(PORTS))
    assert addresses.url(PortName.MEDIA) == "https://school.example:8888"
    assert addresses.url(PortName.MEDIA, "192.168.0.12") == "https://192.168.0.12:8888"


def test_the_lan_address_is_one_of_ours_and_no_loopback():
    found = lan_address()
    if found is None:
        return
    assert not ipaddress.ip_address(found).is_loopback
    with socket.socket() as sock:
        sock.bind((found, 0))


def test_the_rtmp_server_names_its_port_where_it_must():
    assert rtmp_server("h", 1935) == "rtmp://h/live"
    assert rtmp_server("[::1]", 1936) == "rtmp://[::1]:1936/live"


def test_the_addresses_of_other_protocols_contain_the_key():
    assert publish_urls(publish_servers("h", {}), "k") == {}
    urls = publish_urls(publish_servers("::1", {"srt": 8890, "rtsp": 8554, "whip": 8889}), "k")
    assert urls == {
        "srt_url": "srt://[::1]:8890?streamid=publish:live/k&pkt_size=1316",
        "rtsp_url": "rtsp://[::1]:8554/live/k",
        "whip_url": "http://[::1]:8889/live/k/whip",
    }
    assert publish_servers("h", {"whips": 443})["whip_server"] == "https://h:443/live"
