import pytest

from airnode.cluster.access import NODE_ACCESS
from airnode.cluster.access_issuer import AccessIssuer, reachable_host
from airnode.cluster.api_types import RegisterRequest
from airnode.cluster.join_types import JoinRequest
from airnode.cluster.nodes_api import percentage
from airnode.errors import Forbidden, InvalidInput
from airnode.kernel.access import JoinToken, RemoteAccess, StoreUrls

PIPELINE = RemoteAccess(name="pipeline", token=JoinToken("pipeline_token", "pipeline token", ""))
SHARED = {
    "cluster.heartbeat_s": 2.0,
    "cluster.lease_s": 6.0,
    "recording.mode": "all",
    "recording.student_download": False,
}


class Orders:
    """Remembers the nodes whose orders were cleared."""

    def __init__(self) -> None:
        self.cleared: list[str] = []

    async def clear_orders(self, node_id: str) -> None:
        self.cleared.append(node_id)


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def issuer(orders: Orders) -> AccessIssuer:
    return AccessIssuer(
        accesses={each.name: each for each in (NODE_ACCESS, PIPELINE)},
        node_orders=orders,
        store_urls=lambda access, host: StoreUrls(
            f"redis://{access.name}@{host}", f"postgresql://{access.name}@{host}"
        ),
        shared_values=lambda access: {key: SHARED[key] for key in access.settings},
        jwt_secret="signing key",
    )


def join_request(access: str, **values: str) -> JoinRequest:
    return JoinRequest(access=access, version="1", **values)


async def test_a_node_gets_its_stores_the_signing_key_and_the_settings_of_the_cluster(
    issuer: AccessIssuer, orders: Orders
):
    answer = await issuer.join(join_request("node", node_id="n-1"), address="10.0.0.7", master_host="school.lan")
    assert answer.redis_url == "redis://node@school.lan"
    assert answer.jwt_secret == "signing key"
    assert answer.node_host == "10.0.0.7"
    assert answer.settings == SHARED
    assert orders.cleared == ["n-1"]


async def test_a_role_that_is_no_node_gets_no_signing_key_and_clears_no_orders(issuer: AccessIssuer, orders: Orders):
    answer = await issuer.join(join_request("pipeline"), address="10.0.0.8", master_host="school.lan")
    assert answer.postgres_url == "postgresql://pipeline@school.lan"
    assert (answer.jwt_secret, answer.settings, orders.cleared) == ("", {}, [])


async def test_an_access_that_no_role_declares_is_forbidden(issuer: AccessIssuer):
    with pytest.raises(Forbidden, match="'other'"):
        await issuer.join(join_request("other"), address="10.0.0.8", master_host="school.lan")


@pytest.mark.parametrize(("field", "values"), [("node_id", {}), ("host", {"node_id": "n-1", "host": "a b"})])
async def test_a_node_that_joins_with_an_invalid_field_changes_nothing(
    issuer: AccessIssuer, orders: Orders, field: str, values: dict[str, str]
):
    with pytest.raises(InvalidInput) as raised:
        await issuer.join(join_request("node", **values), address="10.0.0.7", master_host="school.lan")
    assert [each.path for each in raised.value.errors] == [field]
    assert orders.cleared == []


async def test_a_slave_of_an_earlier_version_gets_an_id_where_it_has_none(issuer: AccessIssuer, orders: Orders):
    order = RegisterRequest(node_name="a", media_port=1, rtmp_port=2, max_connections=3, version="1", host="a.lan")
    answer = await issuer.register(order, address="10.0.0.7", master_host="school.lan")
    assert answer.node_id.startswith("node-")
    assert orders.cleared == [answer.node_id]
    assert (answer.node_host, answer.lease_s, answer.recording_mode) == ("a.lan", 6.0, "all")


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
def test_the_host_of_a_slave_from_its_address(address: str, host: str):
    """Viewers reach a node on the master's own machine under the host that they used for the master."""
    assert reachable_host(address) == host


def test_the_percentage_of_a_cluster_without_places_is_0():
    assert (percentage(0, 0), percentage(1, 3)) == (0.0, 33.3)
