"""The part that is open: the frames that were given to it, until they are written as one fragment."""

from collections import deque

from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, VIDEO_TRACK_ID
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.frames import Frame


class OpenPart:
    """Collects the frames of one part after the other.

    Attributes:
        has_key: there is a video key frame in it.
        video_end_90k: end of the video that parts have taken, in all of the period so far; 0: none.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._video_run: TrackRun | None = None
        self._audio_run: TrackRun | None = None
        self.has_key = False
        self.video_end_90k = 0

    @property
    def has_video(self) -> bool:
        """Whether there is any video in it."""
        return self._video_run is not None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return self._video_run is None and self._audio_run is None

    def begin_period(self) -> None:
        """Nothing of the period before is left."""
        self.video_end_90k = 0

    def add_video(self, frame: Frame, dts_90k: int, duration_90k: int) -> None:
        """Add a video frame; a still is added again and again, at other times than its own."""
        run = self._video_run
        if run is None:
            self._video_run = run = TrackRun(VIDEO_TRACK_ID, dts_90k, video=True)
        run.add_video(frame.data, duration_90k, frame.cts_90k, is_key=frame.is_key)
        self.has_key |= frame.is_key
        self.video_end_90k = dts_90k + duration_90k

    def take_audio(self, waiting: deque[Frame], end_90k: int) -> None:
        """Move the frames that start before ``end_90k`` into the part; holes make the frame before them longer."""
        while waiting and waiting[0].dts_90k < end_90k:
            frame = waiting.popleft()
            run = self._audio_run
            if run is None:
                self._audio_run = run = TrackRun(AUDIO_TRACK_ID, frame.dts_samples, video=False)
            else:
                hole_samples = frame.dts_samples - run.base_dts_ticks - run.duration_ticks
                if hole_samples > 0:
                    run.stretch_last(hole_samples)
            run.add_audio(frame.data, frame.duration_samples)

    def write(self) -> bytes:
        """Return the part's fragment and begin with an empty one; there must be something in it."""
        runs = [run for run in (self._video_run, self._audio_run) if run is not None]
        self._sequence += 1
        self.clear()
        return write_fragment(self._sequence, runs)

    def clear(self) -> None:
        """Drop what is in it."""
        self._video_run = self._audio_run = None
        self.has_key = False
