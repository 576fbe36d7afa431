"""Who may publish through MediaMTX, and who may read there."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from airnode.errors import AirnodeError, Conflict, Draining, Forbidden, InvalidInput, RateLimited
from airnode.media.mediamtx.api import MediaMtxMetrics
from airnode.media.mediamtx.authorizer import AuthRequest, KeyRefused, MediaMtxAuthorizer, publish_request
from airnode.media.room.rooms import Rooms
from airnode.media.rtmp.publishing import PublisherInfo, PublishRefusal, PublishRequest
from airnode.web.rate_limit import AttemptLimit, RateLimit
from tests.support.rooms import make_rooms

SECRET = "the-readers-secret"


class Authority:
    """Accepts one key; its refusals are those of RTMP."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def authorize(self, request: PublishRequest) -> str | PublishRefusal:
        room = {"k1": "physics", "k2": "history"}.get(request.key)
        if request.app != "live" or room is None:
            return PublishRefusal("key", "The stream key is not right; copy it from the studio page.")
        self._rooms.require_space(room)
        return room


class World:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.now_s = 100.0
        self.granted = 0
        self.rooms = make_rooms(self.registry)
        self.authorizer = MediaMtxAuthorizer(
            Authority(self.rooms),
            self.rooms,
            SECRET,
            MediaMtxMetrics(self.registry),
            wrong_keys=AttemptLimit(RateLimit(1, 3), message="Too many wrong keys.", clock=lambda: self.now_s),
            publish_timeout_s=10,
            granted=self._granted,
            clock=lambda: self.now_s,
        )

    def _granted(self) -> None:
        self.granted += 1

    def refused(self, reason: str) -> float:
        return self.registry.get_sample_value("airnode_media_mediamtx_refused_total", {"reason": reason}) or 0.0


@pytest.fixture
async def world() -> World:
    return World()


def publish(path: str = "live/physics", query: str = "key=k1", **fields: str) -> AuthRequest:
    return AuthRequest("publish", path, "srt", fields.pop("ip", "203.0.113.7"), query, **fields)


@pytest.mark.parametrize(
    ("auth_request", "key", "name"),
    [
        (publish(query="key=k1"), "k1", "physics"),
        (publish(query="", user="any", password="k1"), "k1", "physics"),
        (publish(query="", token="k1"), "k1", "physics"),
        (publish("live/k1", query=""), "k1", "k1"),
        (publish(query="key=k1&key2=3", password="other"), "k1", "physics"),
    ],
    ids=["query", "password", "bearer", "path", "query wins"],
)
def test_the_key_is_accepted_in_each_of_these_fields(auth_request: AuthRequest, key: str, name: str):
    made = publish_request(auth_request)
    assert (made.app, made.name, made.key) == ("live", name, key)
    assert key not in repr(made)


async def test_a_publisher_with_its_key_is_admitted_and_its_media_awaited_once(world: World):
    await world.authorizer.decide(publish())
    assert world.granted == 1
    assert world.authorizer.awaiting
    grant = world.authorizer.take("live/physics")
    assert grant is not None
    assert (grant.room, grant.remote, grant.protocol) == ("physics", "203.0.113.7", "srt")
    assert "k1" not in repr(grant)
    assert world.authorizer.take("live/physics") is None
    assert not world.authorizer.awaiting


async def test_a_publisher_without_media_is_forgotten_after_the_timeout(world: World):
    await world.authorizer.decide(publish())
    world.now_s += 10.1
    assert world.authorizer.take("live/physics") is None


async def refusal(world: World, auth_request: AuthRequest) -> AirnodeError:
    with pytest.raises(AirnodeError) as caught:
        await world.authorizer.decide(auth_request)
    return caught.value


async def test_a_wrong_key_is_refused_with_the_same_text_as_in_rtmp(world: World):
    error = await refusal(world, publish(query="key=guess"))
    assert isinstance(error, KeyRefused)
    assert error.status == 401
    assert error.detail == "The stream key is not right; copy it from the studio page."
    assert world.refused("publish_refused") == 1
    assert not world.authorizer.awaiting


async def test_wrong_keys_are_limited_per_network(world: World):
    for _ in range(3):
        assert isinstance(await refusal(world, publish(query="key=guess")), KeyRefused)
    error = await refusal(world, publish(query="key=k1"))
    assert isinstance(error, RateLimited)
    await world.authorizer.decide(publish(ip="198.51.100.1"))
    world.now_s += 2
    await world.authorizer.decide(publish("live/k2", query=""))


async def test_one_room_has_one_publisher(world: World):
    await world.authorizer.decide(publish())
    assert isinstance(await refusal(world, publish("live/k1", query="")), Conflict)
    await world.authorizer.decide(publish())  # the same path again: the encoder lost its connection
    world.rooms.open("physics", PublisherInfo("203.0.113.7", "k1", False, disconnect=_ignore))
    assert isinstance(await refusal(world, publish()), Conflict)
    await world.authorizer.decide(publish("live/k2", query=""))


def _ignore(reason: str) -> None:
    """The publisher is disconnected."""


async def test_a_draining_node_accepts_no_publisher(world: World):
    await world.rooms.drain()
    assert isinstance(await refusal(world, publish()), Draining)


@pytest.mark.parametrize("action", ["read", "playback", "api", "metrics", "pprof", "", "unknown"])
async def test_other_clients_may_only_publish(world: World, action: str):
    for fields in (
        {},
        {"token": "x"},
        {"user": "airnode", "password": "x"},
        {"user": "x", "password": SECRET},
        {"query": f"key={SECRET}"},
        {"query": "key=k1", "token": "k1"},
    ):
        error = await refusal(world, AuthRequest(action, "live/physics", "hls", "127.0.0.1", **fields))
        assert isinstance(error, Forbidden)
    assert world.refused("not_airnode") == 6


@pytest.mark.parametrize(
    "fields", [{"token": SECRET}, {"user": "airnode", "password": SECRET}], ids=["bearer", "basic"]
)
async def test_airnode_may_read_and_use_the_api(world: World, fields: dict[str, str]):
    for action in ("read", "api"):
        await world.authorizer.decide(AuthRequest(action, "live/physics", "hls", "127.0.0.1", **fields))


async def test_the_readers_secret_is_no_stream_key(world: World):
    assert isinstance(await refusal(world, publish(query=f"key={SECRET}", token=SECRET)), KeyRefused)


@pytest.mark.parametrize("make", [lambda: publish("live/" + "x" * 3000), lambda: publish(query="a=" * 2000)])
async def test_too_long_fields_are_refused_before_they_are_parsed(world: World, make: Callable[[], AuthRequest]):
    assert isinstance(await refusal(world, make()), InvalidInput)
