"""What one node reports of its people to the others fits into messages of the bus, however long their ids are."""

from airnode.bus import envelope
from airnode.chat.rooms.people import User
from airnode.chat.rooms.presence import PresenceChange, batches


def _user(number: int, stem: str) -> User:
    user_id = f"{number:04}{stem}"
    return User(user_id, user_id[:64], "student")


def test_long_ids_are_spread_over_messages():
    people = [_user(number, '"\U0001d573' * 62) for number in range(1000)]
    gone = [user.id for user in people]
    found = batches(people, gone)
    assert [user for came, _ in found for user in came] == people
    assert [user_id for _, went in found for user_id in went] == gone
    for came, went in found:
        assert len(envelope.encode(PresenceChange("r" * 128, "n" * 64, 1000, came, went))) <= envelope.MAX_BYTES


def test_short_ids_are_few_messages_and_nobody_is_one():
    people = [_user(number, "") for number in range(501)]
    assert [len(came) for came, _ in batches(people, ["x"])] == [500, 1]
    assert batches(people, ["x"])[-1][1] == ["x"]
    assert batches([], []) == [([], [])]
    assert batches([], ["x"]) == [([], ["x"])]
