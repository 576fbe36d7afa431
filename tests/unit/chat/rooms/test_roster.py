"""Who is in a room, over all nodes."""

from hypothesis import given
from hypothesis import strategies as st

from airnode.chat.rooms.people import User
from airnode.chat.rooms.roster import Roster

ANN, BEN = User("a", "Ann", "student"), User("b", "Ben", "student")
TEACHER = User("t", "Zoe", "teacher")


def test_somebody_with_two_tabs_on_two_nodes_is_one_person():
    roster = Roster("here")
    assert roster.enter(ANN)
    assert not roster.enter(ANN)
    roster.change("there", [ANN, TEACHER], [], 2, now_s=0)
    assert roster.count == 2
    assert roster.users() == [TEACHER, ANN]
    assert roster.take_changes() == ([ANN, TEACHER], [])
    assert not roster.leave(ANN)
    assert roster.leave(ANN)
    assert roster.take_changes() is None  # still there
    roster.change("there", [], ["a"], 1, now_s=1)
    assert roster.take_changes() == ([], ["a"])


def test_who_watches_counts_once_and_is_not_listed():
    roster = Roster("here")
    assert roster.watch({"a", "b"}) == ["a", "b"] or roster.count == 2
    assert (roster.count, roster.users()) == (2, [])
    assert roster.take_changes() == ([], [])
    assert roster.enter(ANN)
    assert (roster.count, roster.users()) == (2, [ANN])
    assert roster.take_changes() == ([ANN], [])
    assert roster.leave(ANN)
    assert (roster.count, roster.users()) == (2, [])
    assert roster.take_changes() == ([], ["a"])
    assert sorted(roster.watch(frozenset())) == ["a", "b"]
    assert roster.count == 0


def test_who_has_another_name_is_told_anew():
    roster = Roster("here")
    roster.enter(ANN)
    roster.take_changes()
    roster.leave(ANN)
    roster.enter(User("a", "Anna", "student"))
    assert roster.take_changes() == ([User("a", "Anna", "student")], [])
    roster.leave(User("a", "Anna", "student"))
    roster.enter(User("a", "Anna", "student"))
    assert roster.take_changes() is None


def test_the_people_of_a_silent_node_are_forgotten():
    roster = Roster("here")
    roster.change("dead", [ANN], [], 1, now_s=0)
    roster.change("alive", [BEN], [], 1, now_s=5)
    roster.take_changes()
    roster.forget_silent(since_s=3)
    assert roster.users() == [BEN]
    assert roster.take_changes() == ([], ["a"])


def test_a_missed_report_shows_in_the_count():
    roster = Roster("here")
    assert not roster.change("there", [ANN], [], 2, now_s=0)
    roster.replace("there", {"a": ANN, "b": BEN}, now_s=0)
    assert roster.change("there", [], [], 2, now_s=0)
    assert roster.count == 2


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "leave", "watch", "other"]), st.sampled_from("abcd"), st.booleans()),
        max_size=60,
    )
)
def test_what_members_are_told_adds_up(steps):
    roster, open_, there, told = Roster("here"), [], set(), {}
    watching: set[str] = set()
    for what, who, flag in steps:
        user = User(who, who.upper(), "student")
        if what == "enter":
            roster.enter(user)
            open_.append(who)
        elif what == "leave" and who in open_:
            roster.leave(user)
            open_.remove(who)
        elif what == "watch":
            watching = watching | {who} if flag else watching - {who}
            roster.watch(watching)
        elif what == "other":
            there = there | {who} if flag else there - {who}
            roster.change("there", [user] if flag else [], [] if flag else [who], len(there), now_s=0)
        if flag:
            changes = roster.take_changes()
            joined, left = changes or ([], [])
            for each in joined:
                assert each.id not in told
                told[each.id] = each
            for each_id in left:
                del told[each_id]
            assert set(told) == set(open_) | there
        assert roster.count == len(set(open_) | there | watching)
        assert {each.id for each in roster.users()} == set(open_) | there


def test_a_student_with_the_id_of_a_teacher_is_found():
    roster = Roster("a")
    teacher, student = User("t1", "Ms Kim", "teacher"), User("t1", "Kim", "student")
    roster.enter(teacher)
    assert roster.student("t1") is None
    roster.change("b", [student], [], 1, 0.0)
    assert roster.student("t1") == student
    roster.change("b", [User("t1", "", "student")], [], 1, 0.0)
    assert roster.student("t1") == User("t1", "t1", "student")
