"""A session as a state machine: whatever a client does, no message is lost, doubled or out of order."""

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airnode.chat.engineio.channels import CloseReason
from airnode.chat.engineio.encoded import EncodedPacket
from airnode.chat.engineio.handshake import new_sid, node_of, open_packet
from airnode.chat.engineio.limits import ChatLimits
from airnode.chat.engineio.session import EngineSession
from airnode.chat.engineio.websocket_frames import CloseCode
from airnode.chat.engineio.wire_errors import WireError

LIMITS = ChatLimits()


class Channel:
    """A WebSocket that keeps what is written to it."""

    def __init__(self) -> None:
        self.transport = self
        self.texts: list[str] = []
        self.unsent = 0
        self.code: CloseCode | None = None
        self.is_paused = False

    def write(self, data: bytes) -> None:
        assert self.code is None
        assert data[0] == 0x81
        self.texts.append(data[2:].decode())

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self, code: CloseCode, reason: str) -> None:
        self.code = code

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False


class Owner:
    """Keeps what sessions report."""

    def __init__(self) -> None:
        self.sessions_ended: list[EngineSession] = []
        self.sessions_admitted: list[EngineSession] = []
        self.limits: list[str] = []

    def admitted(self, session: EngineSession) -> None:
        self.sessions_admitted.append(session)

    def reached(self, limit: str) -> None:
        self.limits.append(limit)

    def ended(self, session: EngineSession) -> None:
        self.sessions_ended.append(session)


class Receiver:
    """Keeps what a client sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reasons: list[CloseReason] = []
        self.times_drained = 0

    def text(self, data: str) -> None:
        self.texts.append(data)

    def binary(self, data: bytes) -> None:
        raise WireError("no attachments here")

    def drained(self) -> None:
        self.times_drained += 1

    def closed(self, reason: CloseReason) -> None:
        self.reasons.append(reason)


def message(number: int) -> EncodedPacket:
    return EncodedPacket(f"4{number}".encode())


def new_session(limits: ChatLimits = LIMITS) -> tuple[EngineSession, Receiver, list[EngineSession]]:
    owner = Owner()
    session, receiver = EngineSession("s", limits, 0.0, owner), Receiver()
    session.receiver = receiver
    session.admit()
    return session, receiver, owner.sessions_ended


class Session(RuleBasedStateMachine):
    """A well-behaved client that polls, changes to a WebSocket, and sends and receives numbers meanwhile."""

    @initialize()
    def begin(self) -> None:
        self.session, self.receiver, self.ended = new_session()
        self.now_s = 0.0
        self.sent = self.told = 0
        #: Texts of messages as the client got them.
        self.got: list[str] = []
        self.is_polling = self.is_woken = False
        self.candidate: Channel | None = None
        self.is_probed = False
        self.channel: Channel | None = None

    def _read(self) -> None:
        """Read the WebSocket, and answer pings."""
        channel = self.channel or self.candidate
        if channel is None:
            return
        texts, channel.texts = channel.texts, []
        for text in texts:
            if text == "3probe":
                self.is_probed = True
            elif text == "2":
                self.session.receive_text(channel, "3", self.now_s)
            else:
                assert text[0] == "4"
                self.got.append(text[1:])

    def _end_poll(self) -> None:
        self.is_polling = self.is_woken = False
        for record in self.session.end_poll().decode().split("\x1e"):
            if record == "2":
                self.session.receive_record("3", self.now_s)
            elif record != "6":
                assert record[0] == "4"
                self.got.append(record[1:])

    @rule()
    def server_sends(self) -> None:
        self.session.send(message(self.sent))
        self.sent += 1

    @rule()
    def server_delivers(self) -> None:
        assert self.session.deliver(message(self.sent))
        self.sent += 1

    @precondition(lambda self: self.channel is None and not self.is_polling and not self.is_probed)
    @rule()
    def client_polls(self) -> None:
        def wake() -> None:
            self.is_woken = True

        self.is_polling = True
        self.is_woken = self.session.begin_poll(wake)

    @precondition(lambda self: self.is_woken)
    @rule()
    def poll_is_answered(self) -> None:
        self._end_poll()

    @rule()
    def client_sends(self) -> None:
        if self.channel is not None:
            self.session.receive_text(self.channel, f"4{self.told}", self.now_s)
        else:
            self.session.begin_post()
            self.session.receive_record(f"4{self.told}", self.now_s)
            self.session.end_post()
        self.told += 1

    @precondition(lambda self: self.session.can_upgrade())
    @rule()
    def websocket_opens(self) -> None:
        self.candidate, self.is_probed = Channel(), False
        self.session.begin_upgrade(self.candidate)
        self.session.receive_text(self.candidate, "2probe", self.now_s)
        self._read()
        assert self.is_probed
        assert not self.is_polling or self.is_woken

    @precondition(lambda self: self.candidate is not None)
    @rule()
    def websocket_is_lost(self) -> None:
        assert self.candidate is not None
        self.session.channel_lost(self.candidate, CloseReason.TRANSPORT_ERROR)
        self.candidate, self.is_probed = None, False

    @precondition(lambda self: self.candidate is not None and not self.is_polling)
    @rule()
    def client_upgrades(self) -> None:
        self.channel, self.candidate = self.candidate, None
        assert self.channel is not None
        self.session.receive_text(self.channel, "5", self.now_s)
        self._read()

    @rule(seconds=st.floats(0.1, 19))
    def time_passes(self, seconds: float) -> None:
        self._settle()
        self.now_s += seconds
        self.session.due(self.now_s)
        self._settle()

    def _settle(self) -> None:
        """Let the client take what there is for it, as it does within a second."""
        self._read()
        if self.channel is None:
            if not self.is_polling:
                self.client_polls()
            if self.is_woken:
                self._end_poll()

    @invariant()
    def in_order(self) -> None:
        self._read()
        assert self.got == [str(number) for number in range(len(self.got))]
        assert self.receiver.texts == [str(number) for number in range(self.told)]
        assert self.session.close_reason is None

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        if self.candidate is not None:
            self.websocket_is_lost()
        self._settle()
        assert len(self.got) == self.sent
        self.session.close(CloseReason.FORCED_CLOSE)
        assert self.receiver.reasons == [CloseReason.FORCED_CLOSE]
        assert self.ended == [self.session]


Session.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSession = Session.TestCase


def test_a_slow_client_gets_nothing_more_and_is_cut():
    session, receiver, _ = new_session()
    channel = Channel()
    session.attach(channel)
    channel.unsent = LIMITS.slow_client_bytes
    assert session.deliver(message(1))
    channel.unsent += 1
    assert not session.deliver(message(2))
    session.slow_since_s = 10.0
    assert session.check_speed(39.9)
    channel.unsent = 0
    assert not session.check_speed(39.95)
    assert receiver.times_drained == 1
    session.slow_since_s, channel.unsent = 50.0, LIMITS.slow_client_bytes + 1
    assert not session.check_speed(80.1)
    assert (session.close_reason, channel.code) == (CloseReason.SLOW_CLIENT, CloseCode.POLICY_VIOLATION)


def test_what_must_not_be_dropped_cuts_a_client_above_the_upper_bound():
    session, receiver, _ = new_session()
    number = 0
    while session.close_reason is None:
        session.send(EncodedPacket(b"4" + b"x" * 1000))
        number += 1
    assert number * 1000 == pytest.approx(LIMITS.cut_bytes, rel=0.02)
    assert receiver.reasons == [CloseReason.SLOW_CLIENT]


def test_a_poll_of_a_slow_client_is_bounded():
    session, _, _ = new_session()
    sent = sum(session.deliver(EncodedPacket(b"4" + b"x" * 1000)) for _ in range(1000))
    assert sent * 1000 == pytest.approx(LIMITS.slow_client_bytes, rel=0.02)
    session.begin_poll(lambda: None)
    assert len(session.end_poll()) == pytest.approx(LIMITS.slow_client_bytes, rel=0.02)
    assert session.deliver(message(1))


def test_a_client_that_is_full_is_read_again_later_on_any_transport():
    session, _, _ = new_session()
    woken: list[int] = []
    session.set_full(True)
    assert not session.begin_wait(lambda: woken.append(1))
    channel = Channel()
    session.begin_upgrade(channel)
    session.receive_text(channel, "2probe", 0)
    session.receive_text(channel, "5", 0)
    assert channel.is_paused
    session.set_full(False)
    assert not channel.is_paused
    assert woken == [1]
    assert session.begin_wait(lambda: None)


def test_sids_name_their_node_and_differ():
    sids = {new_sid("node-1a2b") for _ in range(1000)}
    assert len(sids) == 1000
    assert {node_of(sid) for sid in sids} == {"node-1a2b"}
    assert node_of("abc") == ""


def test_the_times_are_told_in_milliseconds():
    packet = open_packet("s", ChatLimits(ping_interval_s=0.3, ping_timeout_s=0.2), can_upgrade=False)
    assert orjson.loads(packet.text[1:]) == {
        "sid": "s",
        "upgrades": [],
        "pingInterval": 300,
        "pingTimeout": 200,
        "maxPayload": 1_000_000,
    }
