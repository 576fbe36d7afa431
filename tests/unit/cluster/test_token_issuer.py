"""Issuing tokens, without HTTP and without a database."""

import datetime as dt
from collections.abc import Collection, Sequence

import pytest
from prometheus_client import CollectorRegistry

from airnode.bus.messages import NodeRecord
from airnode.cluster.classes import Class
from airnode.cluster.shown_names import ShownNames
from airnode.cluster.token_issuer import TokenIssuer, TokenOrder
from airnode.config.sections.auth import AuthSection
from airnode.errors import Forbidden, InvalidInput, NoHealthyNodes, NotFound, RateLimited
from airnode.web.credentials import class_attempts
from airnode.web.rate_limit import AttemptLimit
from airnode.web.tokens import Tokens

ADDRESS = "203.0.113.7"
SECRET = "the-teacher-secret"
TEACHER_KEY = "tk-" + "0a" * 16


def node(node_id: str) -> NodeRecord:
    return NodeRecord(
        node_id=node_id,
        node_name=node_id,
        status="healthy",
        host="",
        scheme="http",
        media_port=8001,
        rtmp_port=1935,
        current_connections=0,
        max_connections=10,
        version="1",
        beat_at=0.0,
    )


class ClassesInMemory:
    def __init__(self) -> None:
        created = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        self.classes = [
            Class("stream", "Class", "ABC234", "key-1", created),
            Class("physics", "Physics", "XYZ789", "key-2", created),
        ]
        self.users: list[tuple[str, str, str]] = []

    async def by_room(self, room: str) -> Class:
        for each in self.classes:
            if each.room == room:
                return each
        raise NotFound("There is no such class.")

    async def by_code(self, code: str) -> Class | None:
        return next((each for each in self.classes if each.code == code), None)

    async def by_teacher_key(self, key: str) -> Class | None:
        return self.classes[1] if key == TEACHER_KEY else None

    async def record_user(self, user_id: str, user_type: str, display_name: str) -> None:
        self.users.append((user_id, user_type, display_name))


class TwoNodes:
    """Chooses ``a`` for viewers, ``b`` for viewers that avoid ``a``, and ``origin`` for publishers."""

    def __init__(self) -> None:
        self.full = False
        self.reserved: list[tuple[str, str]] = []

    async def for_viewer(self, room: str, session_id: str, avoid: Collection[str] = ()) -> NodeRecord:
        if self.full:
            raise NoHealthyNodes("No healthy nodes available")
        self.reserved.append((room, session_id))
        return node("b" if "a" in avoid else "a")

    def for_publisher(self, room: str, avoid: Collection[str] = ()) -> NodeRecord:
        return node("origin")


class NumbersInMemory:
    """Counts the people of one name; names are never free again."""

    def __init__(self) -> None:
        self.taken: dict[tuple[str, str], list[str]] = {}

    async def number(self, room: str, user_id: str, look: str, *, teacher: bool = False) -> int:
        users = self.taken.setdefault((room, look), [])
        if users and users[0] == "teacher":
            return 0
        if user_id not in users:
            users.append("teacher" if teacher else user_id)
        return users.index("teacher" if teacher else user_id) + 1


class OwnersInMemory:
    """Whose the ids are; they are never free again."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}

    async def claim(self, user_id: str, student_ids: Sequence[str]) -> bool:
        return self.owners.setdefault(user_id, student_ids[0]) in student_ids

    async def give_back(self, user_id: str, student_id: str) -> None:
        if self.owners.get(user_id) == student_id:
            del self.owners[user_id]


class World:
    def __init__(self, **auth: object) -> None:
        section = AuthSection.model_validate({"teacher_secret": SECRET, "failure_burst": 3, **auth})
        self.registry = CollectorRegistry()
        self.tokens = Tokens("k" * 32, ttl_s=600)
        self.classes, self.nodes = ClassesInMemory(), TwoNodes()
        self.attempts: AttemptLimit = class_attempts(section, self.registry)
        self.issuer = TokenIssuer(
            section,
            "stream",
            tokens=self.tokens,
            classes=self.classes,
            nodes=self.nodes,
            names=ShownNames(section, NumbersInMemory()),
            own_ids=OwnersInMemory(),
            attempts=self.attempts,
            registry=self.registry,
        )

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def world() -> World:
    return World()


def student(**more: str) -> TokenOrder:
    return TokenOrder(**{"user_type": "student", "user_id": "mina", "address": ADDRESS, "code": "abc-234", **more})  # type: ignore[arg-type]


def teacher(**more: str) -> TokenOrder:
    return TokenOrder(user_type="teacher", user_id="kim", address=ADDRESS, **more)


async def test_a_student_gets_a_token_for_the_class_of_the_code_and_a_place(world: World):
    issued = await world.issuer.issue(student(name="Mina"))
    assert (issued.joined.room, issued.node.node_id) == ("stream", "a")
    assert world.tokens.verify(issued.text) == issued.claims
    assert (issued.claims.user_id, issued.claims.user_type, issued.claims.room) == ("mina", "student", "stream")
    assert world.nodes.reserved == [("stream", issued.claims.session_id)]
    assert world.classes.users == [("mina", "student", "Mina")]
    assert world.count("airnode_tokens_issued_total", user_type="student") == 1


async def test_a_student_who_renews_keeps_the_session_also_where_all_nodes_are_full(world: World):
    first = await world.issuer.issue(student())
    world.nodes.full = True
    renewed = await world.issuer.issue(student(credential=first.text))
    assert renewed.claims.session_id == first.claims.session_id
    assert renewed.node.node_id == "origin"
    with pytest.raises(NoHealthyNodes):
        await world.issuer.issue(student())


@pytest.mark.parametrize("change", [{"user_id": "other"}, {"code": "XYZ789"}, {"credential": "eyJ.not.valid"}])
async def test_a_token_of_another_user_or_class_does_not_renew_a_session(world: World, change: dict[str, str]):
    first = await world.issuer.issue(student())
    second = await world.issuer.issue(student(**{"credential": first.text, **change}))
    assert second.claims.session_id != first.claims.session_id


async def test_a_refused_request_takes_no_id_from_the_student_who_made_it(world: World):
    with pytest.raises(InvalidInput):
        await world.issuer.issue(student(name="x" * 100))
    world.nodes.full = True
    with pytest.raises(NoHealthyNodes):
        await world.issuer.issue(student())
    world.nodes.full = False
    assert (await world.issuer.issue(student())).claims.user_id == "mina"
    with pytest.raises(InvalidInput):
        await world.issuer.issue(student(name="x" * 100))
    assert (await world.issuer.issue(student())).claims.user_id != "mina"


async def test_nodes_that_failed_a_student_are_avoided(world: World):
    assert (await world.issuer.issue(student(avoid="x,a"))).node.node_id == "b"


async def test_a_teacher_gets_the_node_to_publish_to_and_no_place(world: World):
    for order in (teacher(secret=SECRET), teacher(credential=SECRET), teacher(secret=SECRET, room="physics")):
        issued = await world.issuer.issue(order)
        assert (issued.node.node_id, issued.joined.room) == ("origin", order.room or "stream")
    assert world.nodes.reserved == []
    with pytest.raises(NotFound):
        await world.issuer.issue(teacher(secret=SECRET, room="nothing"))


async def test_the_teacher_key_of_a_class_opens_that_class_only(world: World):
    for order in (teacher(secret=TEACHER_KEY), teacher(credential=TEACHER_KEY, room="physics")):
        issued = await world.issuer.issue(order)
        assert (issued.joined.room, issued.claims.own_class) == ("physics", True)
        assert world.tokens.verify(issued.text) == issued.claims
        with pytest.raises(Forbidden):
            issued.claims.require_every_class()
    with pytest.raises(Forbidden):
        await world.issuer.issue(teacher(secret=TEACHER_KEY, room="stream"))
    (await world.issuer.issue(teacher(secret=SECRET))).claims.require_every_class()


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (student(code=""), "code"),
        (student(code="ZZZZZZ"), "code"),
        (teacher(), "secret"),
        (teacher(secret="wrong"), "secret"),
        (teacher(secret="tk-" + "0b" * 16), "secret"),
        (teacher(credential="\udcff"), "secret"),
    ],
)
async def test_a_refusal_is_counted_and_limits_the_network(world: World, order: TokenOrder, reason: str):
    for _ in range(3):
        with pytest.raises(Forbidden):
            await world.issuer.issue(order)
    assert world.count("airnode_tokens_refused_total", reason=reason) == 3
    with pytest.raises(RateLimited):
        world.attempts.check(ADDRESS)
    world.attempts.check("198.51.100.1")
    assert world.classes.users == []


async def test_the_configuration_decides_who_may_join():
    opened = World(student_join="open")
    assert (await opened.issuer.issue(student(code=""))).joined.room == "stream"
    assert (await opened.issuer.issue(student(code="", room="physics"))).joined.room == "physics"
    closed = World(student_join="closed")
    with pytest.raises(Forbidden, match="closed"):
        await closed.issuer.issue(student())
    assert closed.count("airnode_tokens_refused_total", reason="closed") == 1


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 129}, "user_id"),
        ({"user_id": "a\u202eb"}, "user_id"),
        ({"name": "a\x00"}, "name"),
        ({"avoid": "x" * 513}, "avoid"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_issued(world: World, change: dict[str, str], path: str):
    with pytest.raises(InvalidInput) as caught:
        await world.issuer.issue(student(**change))
    assert [each.path for each in caught.value.errors] == [path]
    assert world.nodes.reserved == []
