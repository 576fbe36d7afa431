"""Turns the messages of one publish into events for the ingest."""

from collections.abc import Callable
from typing import Final

from airnode.media.frames import IngestEvent
from airnode.media.rtmp.errors import MalformedMedia
from airnode.media.rtmp.events import AudioReceived, DataReceived, VideoReceived
from airnode.media.rtmp.flv import FlvDemuxer

#: A publisher is disconnected after this many malformed messages in a row, over at least this time.
MAX_MALFORMED: Final = 100
MAX_MALFORMED_S: Final = 10.0


class PublishedMedia:
    """Turns messages into ingest events. Malformed messages are skipped: those around them may be valid.

    Args:
        malformed: called with a sentence for each malformed message.
    """

    def __init__(self, malformed: Callable[[str], None]) -> None:
        self._malformed = malformed
        self._demuxer = FlvDemuxer()
        self._malformed_count = 0
        #: Unix time of the first malformed message in a row.
        self._malformed_since_s = 0.0

    def read(self, event: AudioReceived | VideoReceived | DataReceived, arrived_s: float) -> list[IngestEvent]:
        """Return the ingest events of a message that arrived at the unix time ``arrived_s``.

        Raises:
            MalformedMedia: for a long time all messages of all tracks were malformed.
        """
        if isinstance(event, DataReceived):
            return self._demuxer.metadata(event.values)
        demux = self._demuxer.video if isinstance(event, VideoReceived) else self._demuxer.audio
        try:
            events = demux(event.timestamp_ms, event.payload, arrived_s)
        except MalformedMedia as error:
            self._count_malformed(str(error), arrived_s)
            return []
        if self._malformed_count and events:
            self._malformed_count = 0
        return events

    def _count_malformed(self, detail: str, arrived_s: float) -> None:
        self._malformed(detail)
        if self._malformed_count == 0:
            self._malformed_since_s = arrived_s
        self._malformed_count += 1
        if self._malformed_count >= MAX_MALFORMED and arrived_s - self._malformed_since_s >= MAX_MALFORMED_S:
            raise MalformedMedia(f"The last {self._malformed_count} messages make no sense; the last one: {detail}.")
