import time

import jwt
import pytest

from airnode.errors import Forbidden, Unauthenticated
from airnode.web.tokens import RelayClaims, Tokens

SECRET = "s" * 32


def test_an_issued_token_verifies_to_its_claims():
    tokens = Tokens(SECRET, 60)
    token, claims = tokens.issue("mina", "student", "stream")
    assert tokens.verify(token) == claims
    assert (claims.user_id, claims.user_type, claims.room) == ("mina", "student", "stream")
    assert 55 <= claims.expires_at - time.time() <= 60


def test_a_token_is_one_text():
    tokens = Tokens(SECRET, 60)
    token, _ = tokens.issue("mina", "student", "stream")
    for text in (f"{token}!", f"{token[:-4]}!{token[-4:]}", f" {token}", f"{token}\n"):
        with pytest.raises(Unauthenticated):
            tokens.verify(text)


def test_two_tokens_of_one_user_are_two_sessions():
    tokens = Tokens(SECRET, 60)
    assert tokens.issue("mina", "student", "a")[1].session_id != tokens.issue("mina", "student", "a")[1].session_id


def payload(**change):
    base = {"sub": "u", "user_type": "student", "room": "r", "sid": "s", "exp": int(time.time()) + 60}
    return {key: value for key, value in {**base, **change}.items() if value is not None}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "x" * 5000,
        jwt.encode(payload(), "t" * 32, algorithm="HS256"),
        jwt.encode(payload(), None, algorithm="none"),
        jwt.encode(payload(exp=int(time.time()) - 1), SECRET, algorithm="HS256"),
        jwt.encode(payload(exp=None), SECRET, algorithm="HS256"),
        jwt.encode(payload(room=None), SECRET, algorithm="HS256"),
        jwt.encode(payload(room=["r"]), SECRET, algorithm="HS256"),
        jwt.encode(payload(user_type="admin"), SECRET, algorithm="HS256"),
    ],
)
def test_an_invalid_token_is_refused(token):
    with pytest.raises(Unauthenticated):
        Tokens(SECRET, 60).verify(token)


def test_a_cached_token_still_expires():
    tokens = Tokens(SECRET, 60)
    expires_at = int(time.time()) + 2
    token = jwt.encode(payload(exp=expires_at), SECRET, algorithm="HS256")
    assert tokens.verify(token).user_id == "u"
    while time.time() < expires_at:
        time.sleep(0.01)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


def test_a_token_is_for_one_room_and_one_kind_of_user():
    _, claims = Tokens(SECRET, 60).issue("mina", "student", "a")
    claims.require_room("a")
    with pytest.raises(Forbidden):
        claims.require_room("b")
    with pytest.raises(Forbidden):
        claims.require_teacher()


def test_edges_have_their_own_tokens_with_room_and_tier():
    tokens = Tokens(SECRET, 60)
    claims = RelayClaims("slave-1", "a", 2, "https", "[fe80::1]", 8888)
    token = tokens.issue_relay(claims)
    assert tokens.verify_relay(token) == claims
    with pytest.raises(Unauthenticated):
        tokens.verify(token)
    with pytest.raises(Forbidden):
        tokens.verify_node(token)
    for other in (tokens.issue_node("slave-1"), tokens.issue("mina", "student", "a")[0]):
        with pytest.raises(Forbidden):
            tokens.verify_relay(other)
    with pytest.raises(Unauthenticated):
        tokens.verify_relay(Tokens("t" * 32, 60).issue_relay(claims))
    payload = jwt.decode(token, SECRET, algorithms=["HS256"])
    with pytest.raises(Unauthenticated):
        tokens.verify_relay(jwt.encode(payload, None, algorithm="none"))
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify_relay(jwt.encode({**payload, "exp": int(time.time()) - 1}, SECRET, algorithm="HS256"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"tier": 3},
        {"tier": True},
        {"tier": "1"},
        {"tier": None},
        {"room": 1},
        {"sub": ""},
        {"at": None},
        {"at": []},
        {"at": ["ftp", "h", 1]},
        {"at": ["http", 1, 1]},
        {"at": ["http", "h", 0]},
        {"at": ["http", "h", 1 << 16]},
    ],
)
def test_an_invalid_token_of_an_edge_is_refused(wrong: dict):
    payload = {"sub": "n", "user_type": "relay", "room": "a", "tier": 1, "at": ["http", "h", 1], "exp": time.time() + 9}
    tokens = Tokens(SECRET, 60)
    assert tokens.verify_relay(jwt.encode(payload, SECRET, algorithm="HS256")).tier == 1
    with pytest.raises(Unauthenticated):
        tokens.verify_relay(jwt.encode({**payload, **wrong}, SECRET, algorithm="HS256"))


def test_tokens_of_nodes_and_viewers_are_not_interchangeable():
    tokens = Tokens(SECRET, 60)
    node = tokens.issue_node("slave-1")
    assert tokens.verify_node(node) == "slave-1"
    with pytest.raises(Unauthenticated):
        tokens.verify(node)
    for kind in ("student", "teacher"):
        with pytest.raises(Forbidden):
            tokens.verify_node(tokens.issue("mina", kind, "a")[0])
    with pytest.raises(Unauthenticated):
        tokens.verify_node(Tokens("t" * 32, 60).issue_node("slave-1"))
    expired = jwt.encode({"sub": "n", "user_type": "node", "exp": int(time.time()) - 1}, SECRET, algorithm="HS256")
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify_node(expired)
