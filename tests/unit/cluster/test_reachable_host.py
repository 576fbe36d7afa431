import pytest

from airnode.cluster.join_api import reachable_host
from airnode.cluster.nodes_api import percentage


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fd00::7", "[fd00::7]"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_the_address_that_the_master_saw(address: str, host: str):
    """A node on the master's own machine is reached as the master is: through whatever host the viewer used."""
    assert reachable_host(address) == host


def test_a_cluster_without_places_is_not_a_division_by_zero():
    assert (percentage(0, 0), percentage(1, 3)) == (0.0, 33.3)
