"""Opus to AAC: the sound is there, at its time, through losses and nonsense."""

import itertools
import math
from array import array

import av
import pytest

from airnode.media.browser.opus_to_aac import RATE, OpusToAac
from airnode.media.codecs import aac, opus
from airnode.media.frames import CodecRecord, Frame

PACKET = 960
STEREO = opus.USUAL_DOPS


def packets(count: int, *, tone_from: int = 0) -> list[Frame]:
    """Return Opus packets of 20 ms: silence, then a tone from packet ``tone_from`` on."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = RATE, "stereo", "flt", 96_000
    encoder.open()
    made: list[bytes] = []
    for index in range(count):
        loud = 0.5 if index >= tone_from else 0.0
        wave = [loud * math.sin(math.tau * 440 * (index * PACKET + n // 2) / RATE) for n in range(2 * PACKET)]
        frame = av.AudioFrame(format="flt", layout="stereo", samples=PACKET)
        frame.sample_rate = RATE
        frame.planes[0].update(array("f", wave).tobytes())
        made += [bytes(each) for each in encoder.encode(frame)]
    return [Frame("audio", 90_000 + n * 1_800, 0, data, True, 1.0 + n * 0.02) for n, data in enumerate(made)]


def loudness(config: CodecRecord, frames: list[Frame]) -> list[float]:
    """Return the loudest sample of each decoded AAC frame."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = config.record
    decoded = [samples for frame in frames for samples in decoder.decode(av.Packet(frame.data))]
    return [max(map(abs, array("f", bytes(each.planes[0])))) for each in decoded]


def convert(sent: list[Frame]) -> tuple[CodecRecord, list[Frame]]:
    config, *frames = OpusToAac(STEREO, 128_000).convert(sent)
    assert isinstance(config, CodecRecord)
    return config, [each for each in frames if isinstance(each, Frame)]


def test_the_configuration_is_plain_aac():
    config, _ = convert(packets(5))
    parsed = aac.parse_asc(config.record)
    assert (parsed.codecs, parsed.sample_rate, parsed.channels) == ("mp4a.40.2", RATE, 2)


def test_sound_keeps_its_time():
    sent = packets(100, tone_from=50)
    config, frames = convert(sent)
    loud = loudness(config, frames)
    began = next(index for index, each in enumerate(loud) if each > 0.2)
    assert abs(frames[began].dts_90k - sent[50].dts_90k) <= 90_000 * 1024 // RATE + 1
    steps = {b.dts_90k - a.dts_90k for a, b in itertools.pairwise(frames)}
    assert steps == {1920}


def test_a_gap_moves_the_time_and_nothing_else():
    sent = packets(100)
    later = [*sent[:40], *(Frame("audio", f.dts_90k + 90_000, 0, f.data, True, f.arrived_s) for f in sent[40:])]
    _, frames = convert(later)
    steps = [b.dts_90k - a.dts_90k for a, b in itertools.pairwise(frames)]
    assert sorted(set(steps)) == [1920, 91_920]
    assert steps.count(91_920) == 1


@pytest.mark.parametrize("bad", [b"", b"\xff\xff", b"\x03", bytes(500)])
def test_nonsense_is_left_out(bad: bytes):
    sent = packets(60)
    sent[20] = Frame("audio", sent[20].dts_90k, 0, bad, True, 1.0)
    converter = OpusToAac(STEREO, 128_000)
    frames = converter.convert(sent)[1:]
    assert len(frames) >= 50
    assert converter.invalid <= 1
