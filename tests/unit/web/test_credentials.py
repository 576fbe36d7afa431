"""The table of rights: which secret gives which right."""

from collections.abc import Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from airnode.cluster.access import CLUSTER_TOKEN
from airnode.config.sections.auth import AuthSection
from airnode.config.sections.cluster import with_join_tokens
from airnode.errors import Forbidden, RateLimited, Unauthenticated
from airnode.kernel.access import JoinToken
from airnode.pipeline.access import PIPELINE_TOKEN
from airnode.speech.service.access import SPEECH_TOKEN
from airnode.web.clients import Clients
from airnode.web.credentials import (
    Authorizer,
    Right,
    class_attempts,
    cluster_attempts,
    credential,
    master_rules,
    same_secret,
)
from airnode.web.tokens import Tokens

SECRETS = {
    "cluster": "cluster-token",
    "pipeline": "pipeline-token",
    "speech": "speech-token",
    "admin": "admin-secret",
    "teacher": "teach-secret",
}
JOIN_TOKENS = (CLUSTER_TOKEN, PIPELINE_TOKEN, SPEECH_TOKEN)
#: {right or join token: the secrets that give it}.
GIVEN_BY: dict[Right | JoinToken, set[str]] = {
    CLUSTER_TOKEN: {"cluster"},
    PIPELINE_TOKEN: {"pipeline"},
    SPEECH_TOKEN: {"speech"},
    Right.ADMIN: {"cluster", "admin"},
    Right.READER: {"cluster", "admin", "teacher"},
    Right.TEACHER: {"teacher"},
    Right.TRANSCRIBER: {"teacher", "admin"},
}


class World:
    def __init__(self, *, open_status: bool = False, secrets: Mapping[str, str] = SECRETS) -> None:
        auth = AuthSection.model_validate(
            {"admin_secret": secrets["admin"], "teacher_secret": secrets["teacher"], "failure_burst": 2}
        )
        tokens = {
            "token": secrets["cluster"],
            "pipeline_token": secrets["pipeline"],
            "speech_token": secrets["speech"],
        }
        model = with_join_tokens({token.key: token.description for token in JOIN_TOKENS})
        cluster = model.model_validate({**tokens, "open_status": open_status})
        self.registry = CollectorRegistry()
        self.tokens = Tokens("k" * 32, ttl_s=600)
        limits = cluster_attempts(auth, self.registry), class_attempts(auth, self.registry)
        self.authorizer = Authorizer(self.tokens, Clients(()), master_rules(auth, cluster, JOIN_TOKENS, *limits))

    def require(self, right: Right | JoinToken, given: str = "", room: str | None = None) -> None:
        self.authorizer.require(request(given), right, room)

    def token(self, user_type: str, room: str = "a") -> str:
        return self.tokens.issue("kim", user_type, room)[0]  # type: ignore[arg-type]


def request(given: str = "", path: str = "/") -> web.Request:
    return make_mocked_request("GET", path, headers={"Authorization": f"Bearer {given}"} if given else {})


@pytest.mark.parametrize("right", GIVEN_BY, ids=str)
@pytest.mark.parametrize("secret", SECRETS)
def test_the_table_of_secrets(right: Right | JoinToken, secret: str):
    world = World()
    if secret in GIVEN_BY[right]:
        world.require(right, SECRETS[secret])
        return
    with pytest.raises(Forbidden):
        world.require(right, SECRETS[secret])


@pytest.mark.parametrize("right", GIVEN_BY, ids=str)
def test_without_secrets_in_the_configuration_nobody_has_a_right(right: Right | JoinToken):
    world = World(secrets=dict.fromkeys(SECRETS, ""))
    for given in ("", "x"):
        with pytest.raises((Forbidden, Unauthenticated)):
            world.require(right, given)


@pytest.mark.parametrize("right", GIVEN_BY, ids=str)
def test_a_teachers_token_reads_and_teaches_and_a_students_does_neither(right: Right | JoinToken):
    world = World()
    if right in (Right.READER, Right.TEACHER, Right.TRANSCRIBER):
        world.require(right, world.token("teacher"))
    else:
        with pytest.raises(Forbidden):
            world.require(right, world.token("teacher"))
    with pytest.raises(Forbidden):
        world.require(right, world.token("student"))


def test_a_token_teaches_in_its_own_room_only():
    world = World()
    world.require(Right.TEACHER, world.token("teacher", "a"), "a")
    with pytest.raises(Forbidden):
        world.require(Right.TEACHER, world.token("teacher", "b"), "a")
    world.require(Right.TEACHER, SECRETS["teacher"], "a")


@pytest.mark.parametrize("right", [Right.READER, Right.TEACHER])
def test_the_key_of_a_class_shows_and_does_nothing_beyond_that_class(right: Right):
    world = World()
    token = world.tokens.issue("kim", "teacher", "a", own_class=True)[0]
    world.require(right, token, "a")
    for room in (None, "b"):
        with pytest.raises(Forbidden):
            world.require(right, token, room)


def test_open_status_lets_everybody_read_and_nothing_else():
    world = World(open_status=True)
    world.require(Right.READER)
    with pytest.raises(Unauthenticated):
        world.require(Right.ADMIN)


@pytest.mark.parametrize(("right", "others"), [(Right.ADMIN, Right.READER), (Right.TEACHER, Right.ADMIN)])
def test_wrong_secrets_are_counted_and_limit_their_network(right: Right | JoinToken, others: Right):
    world = World()
    for _ in range(2):
        with pytest.raises(Forbidden):
            world.require(right, "wrong")
    with pytest.raises(RateLimited):
        world.require(right, next(SECRETS[each] for each in GIVEN_BY[right]))
    cluster = world.registry.get_sample_value("airnode_cluster_credentials_refused_total")
    teacher = world.registry.get_sample_value("airnode_tokens_refused_total", {"reason": "secret"})
    assert (cluster, teacher) == ((2, None) if right is Right.ADMIN else (0, 2))
    if right is Right.TEACHER:  # codes and secrets of classes do not lock operators out
        world.require(others, SECRETS["admin"])


def test_a_missing_credential_is_not_counted_as_an_attempt():
    world = World()
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            world.require(Right.ADMIN)
    world.require(Right.ADMIN, SECRETS["admin"])


def test_students_and_teachers_of_a_room():
    world = World()
    student, teacher = request(world.token("student", "a")), request(world.token("teacher", "a"))
    assert not world.authorizer.is_teacher(student, "a")
    assert world.authorizer.is_teacher(teacher, "a")
    assert world.authorizer.is_teacher(request(SECRETS["teacher"]), "a")
    assert world.authorizer.room_claims(student, "a").user_type == "student"
    for each in (student, teacher):
        with pytest.raises(Forbidden):
            world.authorizer.room_claims(each, "b")


@pytest.mark.parametrize(
    ("header", "path", "expected"),
    [
        ("Bearer abc", "/?jwt=def", "abc"),
        ("bearer  abc ", "/", "abc"),
        ("Basic abc", "/?jwt=def", "def"),
        ("Bearer ", "/", ""),
        ("", "/", ""),
    ],
)
def test_the_credential_of_a_request(header: str, path: str, expected: str):
    assert credential(make_mocked_request("GET", path, headers={"Authorization": header})) == expected


def test_secrets_are_compared():
    assert same_secret("äbc", "äbc")
    assert not same_secret("abc", "abd")
    assert not same_secret("", "")
    assert not same_secret("\udcff", "abc")
