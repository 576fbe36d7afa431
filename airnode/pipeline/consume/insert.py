"""Inserts events into PostgreSQL, each once, and updates the totals in the same transaction.

Each topic needs one statement per batch: ``INSERT … SELECT FROM unnest(…) ON CONFLICT (event_id) DO NOTHING
RETURNING``. It is the same prepared statement for every batch size (COPY is only faster for thousands of rows). It
returns the new events, and only these are added to the totals.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airnode.pipeline.consume.classroom_insert import insert_classroom
from airnode.pipeline.event import CLASSROOM, Topic
from airnode.pipeline.events import AnyEvent
from airnode.store.eventlog.log import Delivered

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

#: The rows of the totals are locked in the order of their keys, so that two writers cannot deadlock.
_ORDERS = """
WITH new AS (
    INSERT INTO pipeline.orders (event_id, user_id, product_id, quantity, unit_price_krw, occurred_at)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::bigint[], $6::timestamptz[])
    ON CONFLICT (event_id) DO NOTHING
    RETURNING product_id, quantity, quantity * unit_price_krw AS revenue_krw, occurred_at
), by_minute AS (
    INSERT INTO pipeline.orders_per_minute AS total (minute, orders, revenue_krw)
    SELECT date_trunc('minute', occurred_at), count(*), sum(revenue_krw) FROM new GROUP BY 1 ORDER BY 1
    ON CONFLICT (minute) DO UPDATE
    SET orders = total.orders + excluded.orders, revenue_krw = total.revenue_krw + excluded.revenue_krw
), by_product AS (
    INSERT INTO pipeline.orders_per_product AS total (product_id, orders, quantity, revenue_krw, last_at)
    SELECT product_id, count(*), sum(quantity), sum(revenue_krw), max(occurred_at) FROM new GROUP BY 1 ORDER BY 1
    ON CONFLICT (product_id) DO UPDATE
    SET orders = total.orders + excluded.orders, quantity = total.quantity + excluded.quantity,
        revenue_krw = total.revenue_krw + excluded.revenue_krw, last_at = greatest(total.last_at, excluded.last_at)
)
SELECT count(*) FROM new
"""
_INSERT_EVENTS = """
WITH new AS (
    INSERT INTO pipeline.{table} (event_id, type, {column}, body, occurred_at)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::jsonb[], $5::timestamptz[])
    ON CONFLICT (event_id) DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM new
"""
_USERS = _INSERT_EVENTS.format(table="user_events", column="user_id")
_PRODUCTS = _INSERT_EVENTS.format(table="product_events", column="product_id")

Columns = Sequence[Sequence[object]]


class DecodedRecord(NamedTuple):
    """A record and its event. JSON members that this version of airnode does not know are only in the record."""

    record: Delivered
    event: AnyEvent


def _order_columns(decoded: Sequence[DecodedRecord]) -> Columns:
    orders: Sequence[Any] = [each.event for each in decoded]
    return (
        [each.event_id for each in orders],
        [each.user_id for each in orders],
        [each.product_id for each in orders],
        [each.quantity for each in orders],
        [each.unit_price_krw for each in orders],
        [each.occurred_at for each in orders],
    )


def _event_columns(subject: str) -> Callable[[Sequence[DecodedRecord]], Columns]:
    def columns(decoded: Sequence[DecodedRecord]) -> Columns:
        return (
            [event.event_id for _, event in decoded],
            [type(event).__struct_config__.tag for _, event in decoded],
            [getattr(event, subject) for _, event in decoded],
            [record.value.decode() for record, _ in decoded],
            [event.occurred_at for _, event in decoded],
        )

    return columns


_STATEMENTS: dict[str, tuple[str, Callable[[Sequence[DecodedRecord]], Columns]]] = {
    "orders": (_ORDERS, _order_columns),
    "users": (_USERS, _event_columns("user_id")),
    "products": (_PRODUCTS, _event_columns("product_id")),
}
#: {table: column whose unique constraint prevents inserting an event twice}.
REQUIRED_KEYS = {
    "orders": "event_id",
    "user_events": "event_id",
    "product_events": "event_id",
    "orders_per_minute": "minute",
    "orders_per_product": "product_id",
    "dead_letters": "letter_id",
}


async def insert_events(connection: "PoolConnectionProxy[Any]", topic: Topic, decoded: Sequence[DecodedRecord]) -> int:
    """Insert the events of a topic and return the number of new ones. Call it inside a transaction."""
    if topic == CLASSROOM:
        return await insert_classroom(connection, [each.event for each in decoded])
    statement, columns = _STATEMENTS[topic]
    return int(await connection.fetchval(statement, *columns(decoded)))
