"""What ffmpeg encodes, packaged, is what ffmpeg decodes: every frame, in sync, without a single error."""

import itertools
import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from airnode.config.sections.hls import HlsSection
from airnode.media.cmaf.bmff import Track, init_segment
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.frames import AudioConfig, VideoConfig
from tests.support import bmff
from tests.support.flvfile import read_events
from tests.support.publisher import Recorder

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
AAC = ["-c:a", "aac", "-b:a", "96k"]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr[-2000:])
    return done.stdout


def encode(path: Path, *codecs: str, fps="30", seconds=6, video=True, audio=True, size="320x180", rate=48000) -> Path:
    inputs = []
    if video:
        inputs += ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={fps}"]
    if audio:
        inputs += ["-f", "lavfi", "-i", f"sine=f=440:r={rate}:beep_factor=4"]
    run("ffmpeg", "-v", "error", "-y", *inputs, "-t", str(seconds), *codecs, str(path))
    return path


def probe(path: Path) -> dict[str, dict[str, str]]:
    entries = "stream=codec_type,codec_name,width,height,nb_read_frames,start_time,profile,sample_rate,channels"
    text = run("ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(path))
    return {stream["codec_type"]: stream for stream in json.loads(text)["streams"]}


def frame_times(path: Path, kind: str) -> list[float]:
    text = run(
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        kind,
        "-show_entries",
        "frame=pts_time",
        "-of",
        "csv=p=0",
        str(path),
    )
    return [float(line.strip(",")) for line in text.split()]


def package(path: Path, settings: HlsSection | None = None) -> Recorder:
    recorder = Recorder(settings or HlsSection())
    for _, events in read_events(path, recorder.start_unix_s):
        recorder.packager.push(events)
        recorder.look()
    return recorder.finish()


def decode(path: Path) -> None:
    """Fails on any error or warning of the decoder; with a fine time base, so that no frame times fall together."""
    null = ["-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-f", "null", "-"]
    run("ffmpeg", "-v", "error", "-xerror", "-i", str(path), *null)


def join(recorder: Recorder, path: Path) -> Path:
    """One file of the (only) init section and all segments."""
    (init,) = recorder.inits.values()
    path.write_bytes(init + b"".join(recorder.bodies[msn] for msn in sorted(recorder.bodies)))
    decode(path)
    return path


CASES = {
    "h264-b-frames": dict(codecs=[*X264, "-preset", "veryfast", "-bf", "3", "-g", "60", *AAC]),
    "h264-2997": dict(codecs=[*X264, "-g", "60", *AAC], fps="30000/1001"),
    "h264-23976": dict(codecs=[*X264, "-bf", "2", "-g", "48", *AAC], fps="24000/1001"),
    "h264-60": dict(codecs=[*X264, "-bf", "2", "-g", "60", *AAC], fps="60"),
    "h264-15-44100": dict(codecs=[*X264, "-g", "30", *AAC], fps="15", rate=44100),
    "slides": dict(codecs=[*X264, "-g", "2", *AAC], fps="1", seconds=12),
    "video-only": dict(codecs=[*X264, "-bf", "2", "-g", "30"], audio=False),
    "audio-only": dict(codecs=AAC, video=False),
    "audio-only-mono-22050": dict(codecs=[*AAC, "-ac", "1"], video=False, rate=22050),
}


@pytest.mark.parametrize("name", CASES)
def test_every_frame_survives_in_sync(name, tmp_path):
    case = dict(CASES[name])
    source = encode(tmp_path / "in.flv", *case.pop("codecs"), **case)
    recorder = package(source)
    out = join(recorder, tmp_path / "out.mp4")
    before, after = probe(source), probe(out)
    if "audio" not in before:
        del after["audio"]  # silence: segments always have sound
    assert before.keys() == after.keys()
    for kind, stream in before.items():
        assert after[kind]["codec_name"] == stream["codec_name"]
    times = {}
    for kind in before:
        there, here = frame_times(source, kind[0]), frame_times(out, kind[0])
        # The sound of B-frame streams begins behind the first picture's decode time: silence comes before it.
        silent = len(here) - len(there)
        assert silent == 0 or (kind == "audio" and 0 < silent <= 3)
        times[kind] = (there, here[silent:])
    shift = {kind: here[0] - there[0] for kind, (there, here) in times.items()}
    assert max(shift.values()) - min(shift.values()) < 0.002, "audio and video keep their distance"
    for kind, (there, here) in times.items():
        assert all(abs(b - a - shift[kind]) < 0.003 for a, b in zip(there, here, strict=True))
    assert recorder.packager.stats.dropped_samples == 0
    assert recorder.packager.stats.irregular_parts == 0
    # The last slide lasts beyond the audio and the segment's limit.
    assert recorder.packager.stats.forced_segments <= (name == "slides")


def test_an_open_gop_loses_the_pictures_that_are_presented_before_its_key_frame(tmp_path):
    open_gop = ["-x264-params", "open-gop=1:keyint=30:bframes=2:scenecut=0"]
    source = encode(tmp_path / "in.flv", *X264, *open_gop, *AAC)
    recorder = package(source)
    out = join(recorder, tmp_path / "out.mp4")
    decode(out)
    there, here = frame_times(source, "v"), frame_times(out, "v")
    # Five key frames behind the first, with up to two pictures each.
    assert 5 <= len(there) - len(here) <= 10
    assert max(b - a for a, b in itertools.pairwise(here)) < 0.11


def test_every_part_starts_where_the_playlist_says(tmp_path):
    recorder = package(encode(tmp_path / "in.flv", *X264, "-bf", "2", "-g", "60", *AAC))
    expected = None
    for part in recorder.parts.values():
        samples = bmff.samples(part.data)
        if 1 not in samples:
            continue  # the audio that lasts longer than the video
        if expected is not None:
            assert abs(samples[1][0].time / 90_000 - expected) < 0.0001
        expected = samples[1][0].time / 90_000 + part.duration_s
        assert part.independent == any(sample.sync for sample in samples[1])


def test_a_player_reads_the_playlist_itself(tmp_path):
    """ffmpeg's own HLS client, over the files that the playlist names, gaps and parts and all."""
    recorder = package(encode(tmp_path / "in.flv", *X264, "-bf", "2", "-g", "30", *AAC, seconds=5))
    recorder.window.end()
    media = recorder.history.last
    for name in [segment.uri for segment in media.segments if not segment.gap] + [media.segments[-1].map_uri]:
        (tmp_path / name).write_bytes(recorder.body(name))
    (tmp_path / "media.m3u8").write_bytes(recorder.window.media_playlist())
    (tmp_path / "index.m3u8").write_bytes(recorder.window.multivariant_playlist())
    done = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-count_frames",
            "-show_entries",
            "stream=codec_type,nb_read_frames",
            "-of",
            "json",
            str(tmp_path / "index.m3u8"),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    counted = {s["codec_type"]: int(s["nb_read_frames"]) for s in json.loads(done.stdout)["streams"]}
    assert counted["video"] == 150


@pytest.mark.parametrize(
    ("encoder", "options", "codec"),
    [
        ("libx265", ["-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params", "log-level=none:keyint=30"], "hevc"),
        ("libsvtav1", ["-preset", "12", "-g", "30"], "av1"),
    ],
)
def test_hevc_and_av1(encoder, options, codec, tmp_path, monkeypatch):
    """From mp4 (FLV of this ffmpeg has neither), through the writer, to a decoder that finds nothing wrong."""
    if f" {encoder} " not in run("ffmpeg", "-v", "error", "-hide_banner", "-encoders"):
        pytest.skip(f"this ffmpeg has no {encoder}")
    monkeypatch.setenv("SVT_LOG", "0")
    source = tmp_path / "in.mp4"
    fragmented = ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-pix_fmt", "yuv420p", "-an"]
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:r=30",
            "-t",
            "3",
            "-c:v",
            encoder,
            *options,
            *fragmented,
            str(source),
        ],
        capture_output=True,
        timeout=50,
        check=True,
    )
    boxes = bmff.parse(source.read_bytes())
    moov = next(box for box in boxes if box.kind == "moov")
    entry = moov.one("trak/mdia/minf/stbl/stsd").children[0]
    record = next(child.body for child in entry.children if child.kind in ("hvcC", "av1C"))
    out = bytearray(init_segment([Track(1, VideoConfig(codec, record, "x", 320, 180))]))
    scale = Fraction(90_000, int.from_bytes(moov.one("trak/mdia/mdhd").body[12:16], "big"))
    for sequence, sample in enumerate(source_samples(source)):
        run_ = TrackRun(1, int(sample[0] * scale), video=True)
        run_.add_video(sample[3], int(sample[1] * scale) or 3000, int(sample[2] * scale), is_key=sample[4])
        out += write_fragment(sequence, [run_])
    path = tmp_path / "out.mp4"
    path.write_bytes(out)
    decode(path)
    assert probe(path)["video"]["nb_read_frames"] == "90" == probe(source)["video"]["nb_read_frames"]


def source_samples(path: Path) -> list[tuple[int, int, int, bytes, bool]]:
    """(decode time, duration, cts, data, key) of a file's video packets, by ffprobe's positions."""
    data = path.read_bytes()
    fields = "packet=pts,dts,duration,pos,size,flags"
    text = run("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", fields, "-of", "json", str(path))
    packets = json.loads(text)["packets"]
    origin = min(0, min(packet["dts"] for packet in packets))
    return [
        (
            packet["dts"] - origin,
            packet.get("duration", 0),
            packet["pts"] - packet["dts"],
            data[int(packet["pos"]) : int(packet["pos"]) + int(packet["size"])],
            "K" in packet["flags"],
        )
        for packet in packets
    ]


def test_an_init_section_is_understood(tmp_path):
    source = encode(tmp_path / "in.flv", *X264, "-g", "30", *AAC, "-ac", "1", seconds=3, size="426x240")
    recorder = package(source)
    found = probe(join(recorder, tmp_path / "out.mp4"))
    assert (found["video"]["width"], found["video"]["height"]) == (426, 240)
    assert (found["audio"]["sample_rate"], found["audio"]["channels"]) == ("48000", 1)
    configs = {type(event) for _, events in read_events(source) for event in events}
    assert {VideoConfig, AudioConfig} <= configs
