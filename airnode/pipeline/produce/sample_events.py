"""Generates sample events: people sign in, view courses and order them."""

import random
from collections.abc import Sequence

from airnode.pipeline.cache.tables import CachedProduct, CachedUser
from airnode.pipeline.event import new_id_and_time
from airnode.pipeline.events import AnyEvent, OrderPlaced, ProductViewed, UserSignedIn

#: Shares in percent: orders, views of a course, sign-ins.
_KINDS, _WEIGHTS = ("order", "view", "sign_in"), (60, 25, 15)
_QUANTITIES, _QUANTITY_WEIGHTS = (1, 2, 3), (90, 8, 2)


def sample_events(users: Sequence[CachedUser], products: Sequence[CachedProduct], rng: random.Random) -> list[AnyEvent]:
    """Return one event per user, about the product at the same index, with new ids and the current time."""
    kinds = rng.choices(_KINDS, _WEIGHTS, k=len(users))
    return [_event(kind, user, product, rng) for kind, user, product in zip(kinds, users, products, strict=True)]


def _event(kind: str, user: CachedUser, product: CachedProduct, rng: random.Random) -> AnyEvent:
    event_id, occurred_at = new_id_and_time()
    if kind == "order":
        return OrderPlaced(
            event_id=event_id,
            occurred_at=occurred_at,
            key=str(user.user_id),
            user_id=user.user_id,
            product_id=product.product_id,
            quantity=rng.choices(_QUANTITIES, _QUANTITY_WEIGHTS)[0],
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
