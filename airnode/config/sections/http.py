"""The ``[http]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Port, Section
from airnode.config.units import ByteSize, HomePath, Seconds


class HttpSection(Section):
    """The HTTP port: pages, API, health, metrics."""

    host: str = Field(default="0.0.0.0", description="Address that all ports listen on.")
    port: Port = Field(default=8000, description="Port of the pages and the API; 0: any free one.")
    allowed_origins: tuple[str, ...] = Field(
        default=("*",),
        description="Origins whose pages may call the API and read media; '*': any (tokens are never cookies).",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Networks (CIDR) of reverse proxies whose X-Forwarded-For, -Proto and -Host headers are trusted.",
    )
    max_body_bytes: ByteSize = Field(default=1 << 20, ge=1024, description="Largest request body the API accepts.")
    request_timeout_s: Seconds = Field(
        default=10.0,
        gt=0,
        description="Longest time to receive a request's body, and to send one event to a page.",
    )
    silence_timeout_s: Seconds = Field(
        default=30.0,
        gt=0,
        description="A connection whose first request is not there after this time, and twice it at most, is closed "
        "with 408.",
    )
    tls_cert: HomePath | None = Field(
        default=None, description="PEM certificate chain; with it the HTTP and media ports use TLS."
    )
    tls_key: HomePath | None = Field(default=None, description="PEM private key of tls_cert.")
