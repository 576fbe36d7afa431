"""The open part: collects frames until they are written as one fragment."""

from collections import deque

from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, VIDEO_TRACK_ID
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.frames import Frame


class OpenPart:
    """The frames of the open part; after :meth:`write` those of the next one.

    Attributes:
        has_key: the part contains a video key frame.
        video_end_90k: end of the last video frame that was added in this period, in any part; 0: none was added.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._video_run: TrackRun | None = None
        self._audio_run: TrackRun | None = None
        self.has_key = False
        self.video_end_90k = 0

    @property
    def has_video(self) -> bool:
        return self._video_run is not None

    @property
    def empty(self) -> bool:
        return self._video_run is None and self._audio_run is None

    def begin_period(self) -> None:
        """Reset `video_end_90k`, as a new period begins."""
        self.video_end_90k = 0

    def add_video(self, frame: Frame, dts_90k: int, duration_90k: int) -> None:
        """Add a video frame. A still is added repeatedly, so its decode time is given apart from the frame."""
        run = self._video_run
        if run is None:
            self._video_run = run = TrackRun(VIDEO_TRACK_ID, dts_90k, video=True)
        run.add_video(frame.data, duration_90k, frame.cts_90k, is_key=frame.is_key)
        self.has_key |= frame.is_key
        self.video_end_90k = dts_90k + duration_90k

    def take_audio(self, waiting: deque[Frame], end_90k: int) -> None:
        """Move the frames that start before ``end_90k`` into the part; a hole makes the frame before it longer."""
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
        """Return the part's fragment and begin an empty part. This part must not be `empty`."""
        runs = [run for run in (self._video_run, self._audio_run) if run is not None]
        self._sequence += 1
        self.clear()
        return write_fragment(self._sequence, runs)

    def clear(self) -> None:
        """Drop the frames of the part."""
        self._video_run = self._audio_run = None
        self.has_key = False
