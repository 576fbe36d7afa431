"""Silent frames: decodable, silent, and of the announced length, for each layout of channels."""

import shutil
import subprocess
from pathlib import Path

import pytest

from airnode.media.cmaf.bmff import AUDIO_TRACK_ID, Track, init_segment
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.codecs.aac import parse_asc, write_asc
from airnode.media.codecs.opus import packet_samples, parse_dops
from airnode.media.codecs.silence import silence
from airnode.media.frames import AudioConfig

FRAMES = 20
#: A program config element with one channel pair in front, and one low frequency element.
PROGRAM = "0000" + "01" + "0011" + "0001" + "0000" + "0000" + "01" + "000" + "0000" + "000" + "1" + "0000" + "0000"


def bits(text: str) -> bytes:
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def asc_with_program() -> bytes:
    """Return an AudioSpecificConfig of AAC-LC at 48 kHz with a program config element, and an empty comment."""
    head = "00010" + "0011" + "0000" + "000" + PROGRAM
    head += "0" * (-len(head) % 8)
    return bits(head + "00000000")


def dops(channels: int, streams: int = 0, coupled: int = 0) -> AudioConfig:
    record = bytes((0, channels)) + (312).to_bytes(2, "big") + (48000).to_bytes(4, "big") + bytes(2)
    mapping = bytes((1, streams, coupled, *range(channels))) if streams else b"\0"
    return parse_dops(record + mapping)


def decoded(config: AudioConfig, tmp_path: Path) -> bytes:
    """Return what ffmpeg decodes from silent frames, as 16-bit samples."""
    data = silence(config)
    assert data is not None
    run = TrackRun(AUDIO_TRACK_ID, 0, video=False)
    for _ in range(FRAMES):
        run.add_audio(data, config.samples_per_frame)
    path = tmp_path / "silence.mp4"
    path.write_bytes(init_segment([Track(AUDIO_TRACK_ID, config)]) + write_fragment(1, [run]))
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg
    command = [ffmpeg, "-v", "error", "-xerror", "-i", path, "-f", "s16le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.mark.ffmpeg
@pytest.mark.parametrize("layout", [1, 2, 3, 4, 5, 6, 7, 11, 12])
def test_silent_aac_can_be_decoded_in_each_layout(tmp_path: Path, layout: int):
    config = parse_asc(write_asc(2, 3, layout))
    pcm = decoded(config, tmp_path)
    assert len(pcm) >= (FRAMES - 1) * 1024 * 2 * config.channels
    assert not any(pcm)


@pytest.mark.ffmpeg
def test_silent_aac_follows_a_program_config_element(tmp_path: Path):
    config = parse_asc(asc_with_program())
    assert config.channels == 3
    pcm = decoded(config, tmp_path)
    assert len(pcm) >= (FRAMES - 1) * 1024 * 2 * 3
    assert not any(pcm)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("kind", "layout"), [(5, 1), (5, 2), (29, 1)], ids=["HE-AAC mono", "HE-AAC stereo", "HE-AAC v2"]
)
def test_silent_he_aac_has_the_doubled_rate(tmp_path: Path, kind: int, layout: int):
    record = bits(f"{kind:05b}" + "0110" + f"{layout:04b}" + "0011" + "00010" + "000")
    config = parse_asc(record)
    assert config.sample_rate == 24000
    pcm = decoded(config, tmp_path)
    assert len(pcm) >= (FRAMES - 1) * 2048 * 2 * layout
    assert not any(pcm)


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    "config", [dops(1), dops(2), dops(6, 4, 2), dops(8, 5, 3)], ids=["mono", "stereo", "5.1", "7.1"]
)
def test_silent_opus_can_be_decoded(tmp_path: Path, config: AudioConfig):
    data = silence(config)
    assert data is not None
    assert packet_samples(data) == 960
    pcm = decoded(config, tmp_path)
    assert len(pcm) >= (FRAMES - 1) * 960 * 2 * config.channels
    assert not any(pcm)


@pytest.mark.parametrize(
    "config",
    [
        AudioConfig(b"", "mp4a.40.2", 48000, 6),
        AudioConfig(write_asc(2, 3, 8), "mp4a.40.2", 48000, 6),
        AudioConfig(bytes(10) + b"\1", "opus", 48000, 6, 960, "opus"),
        AudioConfig(b"", "opus", 48000, 2, 2880, "opus"),
    ],
)
def test_there_is_no_silence_for_a_configuration_that_cannot_be_read(config: AudioConfig):
    assert silence(config) is None
