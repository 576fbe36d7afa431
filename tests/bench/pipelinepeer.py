"""A plain consumer with confluent-kafka and COPY, for comparison with airnode's consumer.

``python -m tests.bench.pipelinepeer '{"bootstrap": […], "postgres_url": …, "group": …, "count": 100000}'`` inserts
``count`` orders, each once and with the same totals, and prints ``{"took_s": …, "cpu_s": …}``.
"""

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg
from confluent_kafka import Consumer

from airnode.pipeline.events import decode_event

_BATCH = 1000
#: The same as airnode's consumer.
_COMMIT_EVERY_S = 0.2
_COLUMNS = ("event_id", "user_id", "product_id", "quantity", "unit_price_krw", "occurred_at")
_INCOMING = "CREATE TEMP TABLE incoming (LIKE pipeline.orders INCLUDING DEFAULTS)"
_MERGE = """
WITH new AS (
    INSERT INTO pipeline.orders SELECT * FROM incoming ON CONFLICT (event_id) DO NOTHING
    RETURNING product_id, quantity, quantity * unit_price_krw AS revenue_krw, occurred_at
), by_minute AS (
    INSERT INTO pipeline.orders_per_minute AS total (minute, orders, revenue_krw)
    SELECT date_trunc('minute', occurred_at), count(*), sum(revenue_krw) FROM new GROUP BY 1 ORDER BY 1
    ON CONFLICT (minute) DO UPDATE
    SET orders = total.orders + excluded.orders, revenue_krw = total.revenue_krw + excluded.revenue_krw
)
INSERT INTO pipeline.orders_per_product AS total (product_id, orders, quantity, revenue_krw, last_at)
SELECT product_id, count(*), sum(quantity), sum(revenue_krw), max(occurred_at) FROM new GROUP BY 1 ORDER BY 1
ON CONFLICT (product_id) DO UPDATE
SET orders = total.orders + excluded.orders, quantity = total.quantity + excluded.quantity,
    revenue_krw = total.revenue_krw + excluded.revenue_krw, last_at = greatest(total.last_at, excluded.last_at)
"""


async def consume(wanted: dict[str, Any]) -> dict[str, float]:
    connection = await asyncpg.connect(wanted["postgres_url"], ssl=False)
    await connection.execute(_INCOMING)
    consumer = Consumer(
        {
            "bootstrap.servers": ",".join(wanted["bootstrap"]),
            "group.id": wanted["group"],
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["orders"])
    landed, began_s, began_cpu_s, committed_s = 0, 0.0, 0.0, 0.0
    while landed < wanted["count"]:
        messages = consumer.consume(_BATCH, 0.1)
        if not messages:
            continue
        if not began_s:
            began_s, began_cpu_s = time.monotonic(), time.process_time()
        rows = [
            (each.event_id, each.user_id, each.product_id, each.quantity, each.unit_price_krw, each.occurred_at)
            for each in (decode_event(message.value(), "orders") for message in messages)
        ]
        async with connection.transaction():
            await connection.copy_records_to_table("incoming", records=rows, columns=_COLUMNS)
            await connection.execute(_MERGE)
            await connection.execute("TRUNCATE incoming")
        landed += len(rows)
        if time.monotonic() - committed_s > _COMMIT_EVERY_S:
            consumer.commit(asynchronous=False)
            committed_s = time.monotonic()
    figures = {"took_s": time.monotonic() - began_s, "cpu_s": time.process_time() - began_cpu_s}
    consumer.close()
    await connection.close()
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(consume(json.loads(sys.argv[1])))), flush=True)
