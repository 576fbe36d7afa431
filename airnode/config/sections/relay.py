"""The ``[relay]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class RelaySection(Section):
    """Rooms that this node fetches from another node."""

    fanout: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Largest number of edges that pull one room from this node. Further edges pull from those, in a "
        "second tier. Use the same value on all nodes.",
    )
    place_s: Seconds = Field(
        default=2.0,
        ge=0.5,
        le=60,
        description="An edge that sends no request for this long loses its place in the fan-out.",
    )
    room_max_bytes: ByteSize = Field(
        default=256 << 20,
        ge=4 << 20,
        description="Largest number of media bytes cached for one relayed room; the oldest are removed and fetched "
        "again when needed.",
    )
    lost_after_s: Seconds = Field(
        default=4.0,
        ge=1,
        le=60,
        description="An origin that the cluster lists as alive and that does not answer this node for this long counts "
        "as unreachable: viewers are sent to other nodes.",
    )
