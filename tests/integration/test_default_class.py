"""The class that opens where no other one is named, against a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from airnode.cluster.classes import Classes
from airnode.config.sections.postgres import PostgresSection
from airnode.errors import Conflict
from airnode.store.migrate import load, migrate
from airnode.store.postgres import Postgres


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Postgres]:
    store = Postgres(PostgresSection(url=postgres_url))
    await store.start()
    await migrate(store, load())
    yield store
    await store.stop()


async def test_an_archived_class_comes_back_when_it_is_the_default_one(postgres: Postgres):
    classes = Classes(postgres, max_classes=1)
    made = await classes.ensure("math", "Mathematics")
    assert await classes.ensure("math", "Class") == made
    await classes.archive("math")
    back = await classes.ensure("math", "Class")
    assert (back.code, back.title, back.archived_at) == (made.code, "Mathematics", None)


async def test_without_a_place_for_the_default_class_the_limit_is_named(postgres: Postgres):
    classes = Classes(postgres, max_classes=1)
    await classes.create("Physics", "physics")
    with pytest.raises(Conflict, match=r"classes\.max_classes"):
        await classes.ensure("math", "Class")
