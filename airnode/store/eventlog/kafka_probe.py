"""Tests the connection to Kafka; :mod:`kafka_refused` explains why a broker cannot be used.

aiokafka only logs the reason, and then raises the same error for all reasons. So this module opens connections itself.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from airnode.config.sections.kafka import KafkaSection
from airnode.errors import StartupError
from airnode.kernel.tasks import TaskScope
from airnode.kernel.tls import error_reason, load_certificate
from airnode.kernel.urls import host_port
from airnode.store.eventlog.kafka_refused import KafkaRefused, explain

_CLOSE_S = 1.0


def tls_context(kafka: KafkaSection) -> ssl.SSLContext | None:
    """Return the TLS context, with our certificate if one is configured; None without TLS. Reads files.

    Raises:
        StartupError: a file is missing, unreadable, encrypted, or contains something else.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.tls_ca)
    except OSError as error:
        raise StartupError(
            f"The certificates {kafka.tls_ca} cannot be used: {error_reason(error)} (kafka.tls_ca)."
        ) from None
    if kafka.tls_cert is not None and kafka.tls_key is not None:
        load_certificate(context, kafka.tls_cert, kafka.tls_key, "kafka")
    return context


async def probe(kafka: KafkaSection, arguments: Mapping[str, Any], within_s: float) -> str | KafkaRefused:
    """Return the first broker of ``kafka.bootstrap`` that accepts us, or the reason why none does.

    Signs in to all brokers at the same time.

    Args:
        arguments: keyword arguments of an aiokafka client.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    tasks, refusals = TaskScope("kafka-probe"), list[KafkaRefused]()
    pending = {tasks.spawn(each, _probe_broker(each, kafka, arguments)) for each in kafka.bootstrap}
    try:
        while pending:
            left_s = max(0.0, deadline_s - loop.time())
            done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for found in [each.result() for each in done]:
                if isinstance(found, str):
                    return found
                refusals.append(found)
            if not done:
                refusals.append(explain(TimeoutError(), f"Kafka at {', '.join(kafka.bootstrap)}", kafka))
                break
    finally:
        await tasks.aclose()
    return max(refusals, key=lambda each: (each.permanent, each.answered))


async def _probe_broker(broker: str, kafka: KafkaSection, arguments: Mapping[str, Any]) -> str | KafkaRefused:
    """Return the address of the broker, or the reason why it cannot be used."""
    try:
        async with _connection(broker, arguments) as connection:
            known = (await connection.send(MetadataRequest([]))).brokers
    except (KafkaError, OSError, TimeoutError, ValueError) as error:
        return explain(error, f"Kafka at {broker}", kafka)
    others = {host_port(host, port) for _, host, port, *_ in known}
    if not others or broker in others:
        return broker
    return await _probe_advertised(broker, sorted(others), kafka, arguments)


async def _probe_advertised(
    broker: str, others: list[str], kafka: KafkaSection, arguments: Mapping[str, Any]
) -> str | KafkaRefused:
    """Return the address of the broker if one of its advertised addresses can be used, else the reason why not."""
    refused = None
    for other in others:
        try:
            async with _connection(other, arguments):
                return broker
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            refusal = explain(error, f"Kafka at {broker} advertises {other} (advertised.listeners), which", kafka)
            refused = refused or refusal
    assert refused is not None  # noqa: S101 - others is not empty
    return refused


@contextlib.asynccontextmanager
async def _connection(broker: str, arguments: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConnection]:
    """Yield a connection that has signed in."""
    host, _, port = broker.rpartition(":")
    options = {
        name: value for name, value in arguments.items() if name not in ("bootstrap_servers", "metadata_max_age_ms")
    }
    connection = await create_conn(host.strip("[]"), int(port), **options)
    try:
        yield connection
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()
