"""What a teacher orders for a class; the node to which it is published carries it out."""

import msgspec

#: Pub/sub channel of :class:`EndClass`.
CLASS_ORDERS = "class-orders"


class EndClass(msgspec.Struct, frozen=True):
    """End the class in this room; ``node_id``: the node that has its publisher, or waits for it."""

    node_id: str
    room: str
