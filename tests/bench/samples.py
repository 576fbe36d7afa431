"""Measures the examiner's time per sample, for correct samples and for repaired ones."""

import time
import timeit
from collections.abc import Callable

from airnode.media.frames import Frame, IngestEvent
from airnode.media.rtmp.flv import FlvDemuxer
from airnode.media.samples.examiner import Examiner
from airnode.media.samples.findings import Findings
from tests.bench.bench import Bench
from tests.bench.report import Figure
from tests.support.flvfile import read_tags
from tests.support.samples import annexb, nals_of

_ROUNDS = 15
_MOST_US = 3.0


async def samples(bench: Bench) -> None:
    """Measure the CPU time per sample before the packager: the best of some rounds over the clip."""
    demuxer, events = FlvDemuxer(), list[IngestEvent]()
    for kind, time_ms, body in read_tags(bench.clip):
        demux = {8: demuxer.audio, 9: demuxer.video}.get(kind)
        events += demux(time_ms, body, time_ms / 1000) if demux is not None else []
    bench.progress("time a sample")
    video = [event for event in events if isinstance(event, Frame) and event.track == "video"]
    audio = [event for event in events if isinstance(event, Frame) and event.track == "audio"]
    start_codes = [Frame("video", f.dts_90k, f.cts_90k, annexb(*nals_of(f.data)), f.is_key, 0.0) for f in video]
    bench.report.add(
        "samples",
        Figure("clean_picture", "Examining a clean H.264 picture", _time_us(events, video), "us", _MOST_US),
        Figure("clean_audio", "... a clean AAC frame", _time_us(events, audio), "us", _MOST_US),
        Figure("annexb_picture", "... a picture in the Annex B form", _time_us(events, start_codes), "us"),
        Figure("picture_bytes", "Bytes of a picture", sum(len(f.data) for f in video) / len(video), "B"),
    )


def _time_us(events: list[IngestEvent], frames: list[Frame]) -> float:
    """Return the CPU time of one frame, after the examiner has seen the whole stream once."""
    examiner = Examiner(Findings())
    examiner.examine(events, 0.0)

    def one_by_one() -> None:
        examine: Callable[..., object] = examiner.examine
        for frame in frames:
            examine((frame,), 0.0)

    return min(timeit.repeat(one_by_one, timer=time.process_time, number=1, repeat=_ROUNDS)) / len(frames) * 1e6
