"""The address in messages never has the password."""

import socket

import pytest

from airnode.config.sections.postgres import PostgresSection
from airnode.errors import StartupError, Unavailable
from airnode.store.postgres import Postgres


@pytest.mark.parametrize(
    ("section", "address"),
    [
        ({"url": "postgresql://me:geheim@db.example:5433/school"}, "db.example:5433/school"),
        ({"url": "postgresql://airnode@/airnode?host=%2Fdata%2Fpostgres"}, "/data/postgres/airnode"),
        ({"host": "db", "password": "geheim", "database": "school"}, "db:5432/school"),
    ],
)
def test_the_address_has_no_password(section, address):
    assert Postgres(PostgresSection(**section)).address == address


async def test_the_error_for_a_missing_server_hides_the_password():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = f"postgresql://me:geheim@127.0.0.1:{port}/school"
        postgres = Postgres(PostgresSection(url=url, connect_timeout_s=0.3))
        with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{port}/school did not answer within 0\.3 s") as caught:
            await postgres.start()
    assert "geheim" not in repr(caught.value)
    assert "\n" not in str(caught.value)
    await postgres.stop()


async def test_ping_fails_before_the_start():
    with pytest.raises(Unavailable):
        await Postgres(PostgresSection(host="db")).ping()


async def test_a_wrong_address_is_refused_at_once():
    with pytest.raises(StartupError, match="refuses"):
        await Postgres(PostgresSection(url="mysql://me:geheim@db/school", connect_timeout_s=5)).start()
