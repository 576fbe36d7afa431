"""Who a student is: signed identities, ids that clients give themselves, and removals."""

import pytest

from airnode.cluster.identities import NEW, identify
from airnode.errors import Forbidden, Removed
from airnode.web.tokens import STUDENT_ID, StudentIdentity, Tokens
from tests.unit.cluster.test_token_issuer import World, student

DAY_S = 86_400.0


@pytest.fixture
def tokens() -> Tokens:
    return Tokens("k" * 32, ttl_s=600)


def signed(tokens: Tokens, identity: StudentIdentity) -> str:
    return tokens.issue_identity(identity, DAY_S)


def test_a_client_that_only_sends_its_id_keeps_it_and_gets_an_identity_that_remembers_it(tokens: Tokens):
    person = identify(tokens, user_id="mina")
    assert person.user_id == "mina"
    assert STUDENT_ID.match(person.identity.student_id)
    assert person.also == (person.identity.student_id,)
    assert person.identity.earlier == ("mina",)


def test_a_client_that_wants_an_identity_has_its_id_from_the_first_token_on(tokens: Tokens):
    first = identify(tokens, user_id="u-1", student=NEW)
    assert first.user_id == first.identity.student_id != "u-1"
    for way in ({"student": signed(tokens, first.identity)}, {"cookie": signed(tokens, first.identity)}):
        again = identify(tokens, user_id="somebody else", **way)
        assert again.user_id == first.user_id
    both = identify(tokens, user_id="x", student=NEW, cookie=signed(tokens, first.identity))
    assert both.user_id == first.user_id


def test_a_forged_or_foreign_identity_is_none(tokens: Tokens):
    foreign = Tokens("x" * 32, ttl_s=600).issue_identity(StudentIdentity("st_" + "a" * 16), DAY_S)
    expired = tokens.issue_identity(StudentIdentity("st_" + "a" * 16), -1)
    _, node = "", tokens.issue_node("node-1")
    text, _ = tokens.issue("st_" + "a" * 16, "student", "stream")
    for forged in (foreign, expired, node, text, "st_" + "a" * 16, "eyJ..", "\x00", "ㅋ" * 5000):
        assert identify(tokens, user_id="mina", student=forged).user_id == "mina"
        assert identify(tokens, user_id="mina", cookie=forged).user_id == "mina"


def test_the_id_of_an_identity_cannot_be_taken_without_it(tokens: Tokens):
    victim = identify(tokens, user_id="u-1", student=NEW)
    with pytest.raises(Forbidden):
        identify(tokens, user_id=victim.user_id)
    mine = identify(tokens, user_id="u-2", student=NEW)
    assert identify(tokens, user_id=victim.user_id, student=signed(tokens, mine.identity)).user_id == mine.user_id


def test_who_renews_a_token_stays_the_same_person_also_without_the_identity(tokens: Tokens):
    person = identify(tokens, user_id="u-1", student=NEW)
    _, claims = tokens.issue(person.user_id, "student", "stream", also=person.also)
    assert identify(tokens, user_id=person.user_id, present=claims).user_id == person.user_id
    own = identify(tokens, user_id="mina")
    _, claims = tokens.issue(own.user_id, "student", "stream", also=own.also)
    renewed = identify(tokens, user_id="mina", cookie=signed(tokens, own.identity), present=claims)
    assert (renewed.user_id, renewed.renewed) == ("mina", claims)
    assert identify(tokens, user_id="mina", cookie=signed(tokens, own.identity)).user_id == "mina"
    later = identify(tokens, user_id="another", cookie=signed(tokens, own.identity))
    assert later.user_id == own.identity.student_id
    assert "mina" in later.also


async def test_a_removed_student_does_not_come_back_by_another_id_or_name():
    world = World()
    removed: set[tuple[str, str]] = set()
    world.tokens.refuse_removed(lambda room, ids: any((room, each) in removed for each in ids))
    first = await world.issuer.issue(student(name="Mina"))
    assert first.identity is not None
    removed.add(("stream", "mina"))
    cookie = world.tokens.issue_identity(first.identity, DAY_S)
    for again in (
        student(),
        student(user_id="other", name="Other", cookie=cookie),
        student(user_id="other", student=cookie),
        student(user_id="other", student=NEW, cookie=cookie),
        student(user_id="other", credential=first.text),
    ):
        with pytest.raises(Removed):
            await world.issuer.issue(again)
    assert world.count("airnode_tokens_refused_total", reason="removed") == 4
    world.attempts.check("203.0.113.7")
    with pytest.raises(Removed):
        world.tokens.verify(first.text)
    elsewhere = await world.issuer.issue(student(code="XYZ789", cookie=cookie))
    assert elsewhere.claims.room == "physics"
    removed.clear()
    assert (await world.issuer.issue(student(cookie=cookie))).claims.room == "stream"
    world.tokens.verify(first.text)


async def test_an_id_that_a_client_gives_itself_belongs_to_who_came_first():
    world = World()
    mina = await world.issuer.issue(student())
    other = await world.issuer.issue(student())
    assert mina.identity is not None
    assert other.identity is not None
    assert mina.claims.user_id == "mina"
    assert other.claims.user_id == other.identity.student_id
    assert (other.claims.also, other.identity.earlier) == ((), ())
    assert (mina.claims.name, other.claims.name) == ("mina", "mina (2)")
    cookies = [world.tokens.issue_identity(each.identity, DAY_S) for each in (mina, other) if each.identity]
    for issued, cookie in zip((mina, other), cookies, strict=True):
        for way in ({"cookie": cookie}, {"student": cookie}, {"credential": issued.text, "user_id": "mina"}):
            again = await world.issuer.issue(student(**way))
            assert again.claims.user_id == issued.claims.user_id
    forged = await world.issuer.issue(student(cookie=cookies[0][:-2] + "xx"))
    assert forged.claims.user_id not in ("mina", other.claims.user_id)


async def test_two_identities_of_one_person_are_one_owner():
    world = World()
    app, browser = await world.issuer.issue(student(user_id="mina")), await world.issuer.issue(student(user_id="m-2"))
    texts = [world.tokens.issue_identity(each.identity, DAY_S) for each in (app, browser) if each.identity]
    for user_id in ("mina", "m-2"):
        found = await world.issuer.issue(student(user_id=user_id, student=texts[0], cookie=texts[1]))
        assert found.claims.user_id == user_id


async def test_a_removal_under_the_signed_id_also_closes_the_earlier_token():
    world = World()
    removed: set[str] = set()
    world.tokens.refuse_removed(lambda room, ids: any(each in removed for each in ids))
    first = await world.issuer.issue(student())
    assert first.identity is not None
    cookie = world.tokens.issue_identity(first.identity, DAY_S)
    second = await world.issuer.issue(student(user_id="u-9", cookie=cookie))
    removed.add(second.claims.user_id)
    for token in (first.text, second.text):
        with pytest.raises(Removed):
            world.tokens.verify(token)


async def test_a_teacher_is_never_removed_and_gets_no_identity():
    world = World()
    world.tokens.refuse_removed(lambda room, ids: True)
    order = student(user_type="teacher", user_id="kim", secret="the-teacher-secret", name="Kim")
    issued = await world.issuer.issue(order)
    assert (issued.identity, issued.claims.name) == (None, "Kim")
    assert world.tokens.verify(issued.text) == issued.claims


async def test_the_longest_id_and_name_fit_into_a_token():
    world = World()
    issued = await world.issuer.issue(student(user_id="\U0001f600" * 128, name="\U0001f600" * 40))
    assert world.tokens.verify(issued.text) == issued.claims
