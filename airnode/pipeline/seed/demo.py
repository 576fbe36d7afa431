"""Data for the demonstration of the pipeline."""

import structlog

from airnode.kernel.service import Service
from airnode.pipeline.seed.seeder import seed
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

_USERS, _PRODUCTS = 10_000, 20_000
_EMPTY = "SELECT NOT EXISTS (SELECT FROM pipeline.users), NOT EXISTS (SELECT FROM pipeline.products)"


class DemoSeeder(Service):
    """Fills empty tables with customers and courses; existing rows stay unchanged."""

    name = "demo-seeder"

    def __init__(self, postgres: Postgres) -> None:
        super().__init__()
        self._postgres = postgres

    async def start(self) -> None:
        """Fill the empty tables. Raises Unavailable if the database goes away."""
        row = await self._postgres.fetchrow(_EMPTY)
        assert row is not None  # noqa: S101 - a SELECT without FROM has a row
        no_users, no_products = row
        filled = await seed(self._postgres, _USERS if no_users else 0, _PRODUCTS if no_products else 0)
        log.info("demo_data_there", **{table: facts.total for table, facts in filled.items()})
