"""The ``[hls]`` section of the configuration."""

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import ByteSize, Seconds


class HlsSection(Section):
    """HLS output: parts, segments, playlists."""

    part_target_ms: int = Field(
        default=133, ge=50, le=2000, description="Target length of a part (LL-HLS Partial Segment)."
    )
    segment_duration_s: Seconds = Field(
        default=1.0, ge=0.5, le=10, description="Shortest segment; it ends at the first key frame after this."
    )
    segment_max_s: Seconds = Field(
        default=10.0,
        ge=2,
        le=60,
        description="Longest segment; a segment without a key frame is ended after this time.",
    )
    segment_count: int = Field(default=7, ge=3, le=100, description="Finished segments kept in the playlist.")
    segment_max_bytes: ByteSize = Field(
        default=50 << 20, ge=1 << 20, description="Largest segment; a publisher that exceeds it is disconnected."
    )
    retained_max_bytes: ByteSize = Field(
        default=64 << 20,
        ge=0,
        description="Most media of one class that is kept after it left the playlist, for players that still fetch it "
        "(HLS demands a segment's and a playlist's duration); beyond this the oldest goes earlier.",
    )
    grace_s: Seconds = Field(
        default=60.0,
        ge=0,
        description="How long a class waits for a publisher that disconnected to come back; 0: the class ends at once.",
    )
    low_latency: bool = Field(default=True, description="Offer LL-HLS (parts, blocking reload); false: plain HLS only.")
