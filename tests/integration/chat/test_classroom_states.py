"""Random classes over two nodes: what somebody who comes late gets is what members know from their events."""

import asyncio
import contextlib
import itertools
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.support.chat_rooms import ChatRig, Refused, RoomClient
from tests.support.waiting import eventually

LIMITS = {"send_rate_per_s": 1e6, "send_burst": 1_000_000, "event_rate_per_s": 1e6, "event_burst": 1_000_000}
FAST = {**LIMITS, "action_rate_per_s": 1e6, "action_burst": 1_000_000, "questions_per_user": 3, "max_hands": 3}
#: What a class may answer to an action that does not fit.
REFUSALS = {"poll_open", "poll_closed", "already_answered", "already_supported", "own_question", "limit_reached"}
REFUSALS |= {"not_found", "forbidden", "invalid_input", "locked", "muted"}
STUDENTS = st.integers(0, 2)
_numbers = itertools.count()


def shared(state: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a state that is the same for all students."""
    poll = state["poll"] and {key: value for key, value in state["poll"].items() if key != "mine"}
    questions = [{key: value for key, value in each.items() if key != "supported"} for each in state["questions"]]
    rules = {key: state[key] for key in ("locked", "slow_mode_s", "teacher_only")}
    return {**rules, "hands": state["hands"], "poll": poll, "questions": questions}


def known_to(client: RoomClient) -> dict[str, Any]:
    """Return what a member knows: the state that it joined with, and all events since."""
    state = shared(client.state)
    questions = {each["id"]: each for each in state["questions"]}
    hands = {each["user"]["id"]: each for each in state["hands"]}
    for name, (body, *_) in client.events:
        if name == "hand":
            if "raised" in body:
                hands[body["raised"]["user"]["id"]] = body["raised"]
            hands.pop(body.get("lowered"), None)
            if body.get("all_lowered"):
                hands.clear()
            assert body["count"] == len(hands)
        elif name == "poll":
            state["poll"] = body["poll"]
        elif name == "ask":
            if "question" in body:
                questions[body["question"]["id"]] = body["question"]
            questions.pop(body.get("deleted"), None)
        elif name == "moderation" and "settings" in body:
            state |= body["settings"]
    state["hands"] = sorted(hands.values(), key=lambda hand: (hand["at"], hand["user"]["id"]))
    state["questions"] = sorted(questions.values(), key=lambda each: (each["at"], each["id"]))
    return state


def sorted_state(client: RoomClient) -> dict[str, Any]:
    state = shared(client.state)
    state["hands"].sort(key=lambda hand: (hand["at"], hand["user"]["id"]))
    state["questions"].sort(key=lambda each: (each["at"], each["id"]))
    return state


class School:
    """Two nodes, and the loop that they run on."""

    def __init__(self, redis_url: str, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.run(self._begin(redis_url))

    async def _begin(self, redis_url: str) -> None:
        self.http = aiohttp.ClientSession()
        self.nodes = [await ChatRig(redis_url, f"state-node-{n}", **FAST).start() for n in (1, 2)]

    async def end(self) -> None:
        await self.http.close()
        for node in self.nodes:
            await node.stop()

    async def join(self, user: str, room: str, node: int, role: str = "student") -> RoomClient:
        rig = self.nodes[node]
        client = await RoomClient(self.http, rig.url, token=rig.token(user, role, room)).connect()
        client.state = (await client.ask("joinRoom", room))["state"]
        return client


class ClassroomMachine(RuleBasedStateMachine):
    """A teacher and three students on two nodes, who do anything in any order."""

    school: School

    @initialize()
    def begin(self) -> None:
        self.room = f"machine-{next(_numbers)}"
        self.teacher = self.school.run(self.school.join("kim", self.room, 0, "teacher"))
        self.students = [self.school.run(self.school.join(f"s{n}", self.room, n % 2)) for n in range(3)]
        self.questions = ["1-1"]
        self.poll = "1-1"

    def do(self, client: RoomClient, event: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send an event; return its acknowledgement, or why it was refused."""

        async def work() -> dict[str, Any]:
            try:
                return await client.ask(event, self.room, body)
            except Refused as refused:
                return {"refused": refused.body["code"]}

        answer = self.school.run(work())
        assert answer.get("refused", "forbidden") in REFUSALS, answer
        return answer

    @rule(options=st.lists(st.text("ab'\"\\/é한", min_size=1, max_size=3), min_size=2, max_size=4, unique=True))
    def open_poll(self, options: list[str]) -> None:
        self.poll = self.do(self.teacher, "poll", {"open": {"question": "?", "options": options}}).get("id", self.poll)

    @rule()
    def close_poll(self) -> None:
        self.do(self.teacher, "poll", {"close": self.poll})

    @rule(student=STUDENTS, option=st.integers(0, 4))
    def answer(self, student: int, option: int) -> None:
        self.do(self.students[student], "poll", {"answer": option, "id": self.poll})

    @rule(student=STUDENTS, raised=st.booleans())
    def move_hand(self, student: int, raised: bool) -> None:
        self.do(self.students[student], "hand", {"raised": raised})

    @rule(body=st.sampled_from([{"lower": "s0"}, {"lower": "s2"}, {"lower_all": True}]))
    def lower(self, body: dict[str, Any]) -> None:
        self.do(self.teacher, "hand", body)

    @rule(student=STUDENTS, content=st.text(min_size=1, max_size=5))
    def ask(self, student: int, content: str) -> None:
        if made := self.do(self.students[student], "ask", {"content": content}).get("id"):
            self.questions.append(made)

    @rule(student=STUDENTS, pick=st.integers(0, 99), what=st.sampled_from(["support", "support", "withdraw", "delete"]))
    def change_question(self, student: int, pick: int, what: str) -> None:
        self.do(self.students[student], "ask", {what: self.questions[pick % len(self.questions)]})

    @rule(pick=st.integers(0, 99), what=st.sampled_from(["answered", "delete"]))
    def end_question(self, pick: int, what: str) -> None:
        self.do(self.teacher, "ask", {what: self.questions[pick % len(self.questions)]})

    @rule(body=st.sampled_from([{"locked": True}, {"locked": False}, {"slow_mode_s": 1}, {"teacher_only": True}]))
    def change_rules(self, body: dict[str, Any]) -> None:
        self.do(self.teacher, "moderation", body)

    @rule(body=st.sampled_from([{"mute": "s1"}, {"unmute": "s1"}]))
    def mute(self, body: dict[str, Any]) -> None:
        self.do(self.teacher, "moderation", body)

    @rule(node=st.integers(0, 1))
    def somebody_comes_late(self, node: int) -> None:
        async def check() -> None:
            late = await self.school.join("late", self.room, node)

            async def agree() -> bool:
                known = [known_to(client) for client in (self.teacher, *self.students, late)]
                return all(each == known[0] for each in known)

            await eventually(agree, 5, "all know the same")
            again = await self.school.join("late-2", self.room, 1 - node)
            assert sorted_state(again) == known_to(self.students[0])
            for client in (late, again):
                await client.close()

        self.school.run(check())

    def teardown(self) -> None:
        if hasattr(self, "students"):
            self.somebody_comes_late(0)
            for client in (self.teacher, *self.students):
                self.school.run(client.close())


@pytest.mark.timeout(300)
def test_who_comes_late_knows_what_the_others_know(valkey_url: str):
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        school = School(valkey_url, runner)
        stack.callback(lambda: runner.run(school.end()))

        class Machine(ClassroomMachine):
            pass

        Machine.school = school
        checks = settings(
            max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(Machine, settings=checks)
