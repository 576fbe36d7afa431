"""Events: their form on the log, what is tolerated in it, and what is not."""

import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import (
    EventDecodeError,
    OrderPlaced,
    ProductViewed,
    UserRegistered,
    decode_event,
)
from airnode.pipeline.uuid7 import uuid7

AT = datetime(2026, 11, 22, 5, 0, 0, 123000, UTC)
ORDER = OrderPlaced(
    event_id=uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"),
    occurred_at=AT,
    key="17",
    user_id=17,
    product_id=5,
    quantity=1,
    unit_price_krw=99000,
)


def test_uuid7_is_the_one_of_rfc_9562_appendix_a6():
    random_bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert uuid7(0x017F22E279B0, random_bits) == uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
def test_uuid7_has_its_version_and_variant_and_sorts_by_time(unix_ms: int, random_bits: int):
    made = uuid7(unix_ms, random_bits)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == unix_ms


@pytest.mark.parametrize("unix_ms", [-1, 2**48])
def test_uuid7_of_no_time(unix_ms: int):
    with pytest.raises(ValueError, match="does not fit"):
        uuid7(unix_ms)


def test_an_order_on_the_log_is_what_is_documented():
    record = ORDER.record()
    assert (record.topic, record.key) == ("orders", "17")
    assert msgspec.json.decode(record.value) == {
        "type": "order.placed",
        "v": 1,
        "event_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "occurred_at": "2026-11-22T05:00:00.123000Z",
        "key": "17",
        "user_id": 17,
        "product_id": 5,
        "quantity": 1,
        "unit_price_krw": 99000,
    }


def test_events_come_back_as_they_were():
    event_id, occurred_at = new_id_and_time()
    assert occurred_at.tzinfo is not None
    common = {"event_id": event_id, "occurred_at": occurred_at, "key": "1"}
    for event in (
        ORDER,
        UserRegistered(**common, user_id=1, name="김민아", email="mina@school.example"),
        ProductViewed(**common, product_id=5, user_id=1),
    ):
        assert decode_event(event.record().value, event.topic) == event


def changed(**members: object) -> bytes:
    document = msgspec.json.decode(ORDER.record().value) | members
    return msgspec.json.encode({name: value for name, value in document.items() if value is not None})


def test_members_that_are_not_known_are_passed_over():
    assert decode_event(changed(coupon="SPRING", nested={"a": [1]}), "orders") == ORDER


@pytest.mark.parametrize(
    ("value", "topic", "reason"),
    [
        (b"", "orders", "not_json"),
        (b"\xff\xfe", "orders", "not_json"),
        (b"[]", "orders", "invalid"),
        (changed(v=2), "orders", "unknown_version"),
        (changed(v=2, type="order.rethought", user_id=None), "orders", "unknown_version"),
        (changed(type="order.eaten"), "orders", "unknown_type"),
        (changed(user_id=None), "orders", "invalid"),
        (changed(user_id="17"), "orders", "invalid"),
        (changed(event_id="17"), "orders", "invalid"),
        (changed(occurred_at="2026-11-22T05:00:00"), "orders", "invalid"),
        (changed(more=0).replace(b"0}", b"[" * 50_000 + b"]" * 50_000 + b"}"), "orders", "invalid"),
        (b'{"more":' + b"[" * 50_000, "orders", "invalid"),
        (changed(more="?").replace(b'"?"', b'"\xff"'), "orders", "not_json"),
        (ORDER.record().value, "users", "invalid"),
    ],
)
def test_an_undecodable_record_has_a_reason(value: bytes, topic: str, reason: str):
    with pytest.raises(EventDecodeError) as caught:
        decode_event(value, topic)
    assert caught.value.reason == reason
    assert str(caught.value)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_undecodable_and_nothing_else(value: bytes):
    with pytest.raises(EventDecodeError):
        decode_event(value, "orders")
