"""What the demonstration of the pipeline stands on."""

import structlog

from airnode.kernel.service import Service
from airnode.pipeline.seed.seeder import seed
from airnode.store.postgres import Postgres

log = structlog.get_logger(__name__)

_USERS, _PRODUCTS = 10_000, 20_000
_EMPTY = "SELECT NOT EXISTS (SELECT FROM pipeline.users), NOT EXISTS (SELECT FROM pipeline.products)"


class Furnishing(Service):
    """Makes up customers where there are none, and courses likewise; whose there are stay as they are."""

    name = "demo-furnishing"

    def __init__(self, postgres: Postgres) -> None:
        super().__init__()
        self._postgres = postgres

    async def start(self) -> None:
        """Returns once there are both. Raises Unavailable: the database went away."""
        row = await self._postgres.fetchrow(_EMPTY)
        assert row is not None  # noqa: S101 - it has no FROM
        no_users, no_products = row
        filled = await seed(self._postgres, _USERS if no_users else 0, _PRODUCTS if no_products else 0)
        log.info("demo_data_there", **{table: facts.there for table, facts in filled.items()})
