"""The stores that a role may need."""

import enum


class Resource(enum.StrEnum):
    """What a role may need; the node opens it, or starts an embedded one."""

    REDIS = "redis"
    POSTGRES = "postgres"
    #: Kept in the Redis where there is no Kafka: a role that needs it needs Redis as well.
    EVENT_LOG = "event_log"
