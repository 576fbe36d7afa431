"""The stores that a role may need."""

import enum

from airnode.config.model import Settings
from airnode.config.sections.postgres import PostgresSection
from airnode.config.sections.redis import RedisSection


class Resource(enum.StrEnum):
    """A store that a role may need. The node connects to it, or starts an embedded one."""

    REDIS = "redis"
    POSTGRES = "postgres"
    #: Without Kafka it is in Redis, so a role that needs it must need Redis too.
    EVENT_LOG = "event_log"


def section_of(settings: Settings, resource: Resource) -> RedisSection | PostgresSection:
    """Return the section that holds the address of Redis or PostgreSQL."""
    return settings.redis if resource is Resource.REDIS else settings.postgres


def is_configured(settings: Settings, resource: Resource) -> bool:
    """Return whether the configuration names an address of Redis or PostgreSQL."""
    section = section_of(settings, resource)
    return bool(section.url or section.host)


def with_url(settings: Settings, resource: Resource, url: str) -> Settings:
    """Return the settings with ``url`` as the address of Redis or PostgreSQL."""
    section = section_of(settings, resource)
    return settings.model_copy(update={str(resource): section.model_copy(update={"url": url})})
