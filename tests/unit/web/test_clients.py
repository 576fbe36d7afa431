import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from airnode.web.clients import Clients, strip_port


def request(peer, **headers):
    made = make_mocked_request(
        "GET", "/", headers={k.replace("_", "-"): v for k, v in {"Host": "a:8000", **headers}.items()}
    )
    return made.clone(remote=peer)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "192.0.2.66, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_may_set_the_clients_address(peer, forwarded, expected):
    assert Clients(["10.0.0.0/8"]).address(request(peer, X_Forwarded_For=forwarded)) == expected


def test_a_header_before_the_proxys_own_changes_nothing():
    headers = CIMultiDict({"Host": "a:8000"})
    headers.extend([("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-For", "203.0.113.9")])
    made = make_mocked_request("GET", "/", headers=headers).clone(remote="10.0.0.1")
    assert Clients(["10.0.0.0/8"]).address(made) == "203.0.113.9"


def test_an_untrusted_client_cannot_set_scheme_or_host():
    clients = Clients(["10.0.0.0/8"])
    stranger = request("198.51.100.7", X_Forwarded_Proto="https", X_Forwarded_Host="evil.example")
    assert (clients.scheme(stranger), clients.hostname(stranger), clients.host(stranger)) == ("http", "a", "a:8000")
    proxy = request("10.0.0.1", X_Forwarded_Proto="https", X_Forwarded_Host="school.example")
    assert (clients.scheme(proxy), clients.hostname(proxy), clients.host(proxy)) == (
        "https",
        "school.example",
        "school.example",
    )


@pytest.mark.parametrize(("host", "bare"), [("a:1", "a"), ("a", "a"), ("[::1]:8000", "[::1]"), ("[::1]", "[::1]")])
def test_strip_port(host, bare):
    assert strip_port(host) == bare
