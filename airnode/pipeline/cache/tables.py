"""The cached tables: users and products, each a Redis hash {id: JSON}.

::

    cache:users      {"17": {"user_id": 17, "name": "김민준", "email": "minjun.kim.17@example.com", "locale": "ko"}}
    cache:products   {"5": {"product_id": 5, "title": "실전 Python 입문", "category": "프로그래밍", "price_krw": 99000}}
    cache:stats      {"users_hits": 812, "users_misses": 3, …, "swaps": 4, "refreshed_at": 1795326335.2, …}
"""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

TableName = Literal["users", "products"]


class CachedUser(msgspec.Struct, frozen=True):
    """A customer."""

    user_id: int
    name: str
    email: str
    locale: str


class CachedProduct(msgspec.Struct, frozen=True):
    """A course; the price is in won."""

    product_id: int
    title: str
    category: str
    price_krw: int


C = TypeVar("C", CachedUser, CachedProduct)


@dataclass(frozen=True, slots=True)
class CachedTable(Generic[C]):
    """One cached table.

    Attributes:
        kind: type of a row; its fields are the columns, the id first.
    """

    name: TableName
    kind: type[C]

    @property
    def id_column(self) -> str:
        """Return the name of the primary key, by which rows are ordered."""
        return self.kind.__struct_fields__[0]

    @property
    def columns(self) -> str:
        """Return the columns of a SELECT, with commas between them."""
        return ", ".join(self.kind.__struct_fields__)


USERS = CachedTable("users", CachedUser)
PRODUCTS = CachedTable("products", CachedProduct)
CACHED_TABLES: tuple[CachedTable[CachedUser], CachedTable[CachedProduct]] = (USERS, PRODUCTS)
