"""Made-up days of a shop: people sign in, look at courses, and order them."""

import random
from collections.abc import Sequence

from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from airnode.pipeline.events import AnyEvent, OrderPlaced, ProductViewed, UserSignedIn, stamp

#: Shares of what is made: orders, views of a course, people who sign in.
_KINDS, _WEIGHTS = ("order", "view", "sign_in"), (60, 25, 15)
_QUANTITIES, _QUANTITY_WEIGHTS = (1, 2, 3), (90, 8, 2)


def make(users: Sequence[CachedUser], products: Sequence[CachedProduct], dice: random.Random) -> list[AnyEvent]:
    """One event for each user, about the product beside it. Their ids and times are of now."""
    kinds = dice.choices(_KINDS, _WEIGHTS, k=len(users))
    return [_event(kind, user, product, dice) for kind, user, product in zip(kinds, users, products, strict=True)]


def _event(kind: str, user: CachedUser, product: CachedProduct, dice: random.Random) -> AnyEvent:
    event_id, occurred_at = stamp()
    if kind == "order":
        return OrderPlaced(
            event_id=event_id,
            occurred_at=occurred_at,
            key=str(user.user_id),
            user_id=user.user_id,
            product_id=product.product_id,
            quantity=dice.choices(_QUANTITIES, _QUANTITY_WEIGHTS)[0],
            unit_price_krw=product.price_krw,
        )
    if kind == "view":
        return ProductViewed(
            event_id=event_id,
            occurred_at=occurred_at,
            key=str(product.product_id),
            product_id=product.product_id,
            user_id=user.user_id,
        )
    return UserSignedIn(event_id=event_id, occurred_at=occurred_at, key=str(user.user_id), user_id=user.user_id)
