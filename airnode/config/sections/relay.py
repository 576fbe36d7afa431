"""``[relay]``: rooms that come from another node."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class RelaySection(Section):
    """Rooms that come from another node."""

    fanout: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Most edges that pull one room from this node. Where the origin has so many, further ones pull "
        "from those, in a second tier; the same on all nodes.",
    )
    place_s: Seconds = Field(
        default=2.0,
        ge=0.5,
        le=60,
        description="An edge that asks for nothing for this long gives its place in the fan-out to another.",
    )
    room_max_bytes: ByteSize = Field(
        default=256 << 20,
        ge=4 << 20,
        description="Most media kept of one relayed room; beyond, the oldest goes, and is fetched anew when asked for.",
    )
    lost_after_s: Seconds = Field(
        default=4.0,
        ge=1,
        le=60,
        description="An origin that reports to the cluster and does not answer this node for so long is out of reach: "
        "viewers are sent to other nodes.",
    )
