"""Cases with one odd sample, or many, in a good stream (from reports of DJI, SRS, RootEncoder and others)."""

from tests.encoders.cases import Case
from tests.encoders.stream import (
    AUDIO,
    DATA,
    EACH_SECOND,
    LOW_LATENCY,
    VIDEO,
    X264,
    Stream,
    base,
    clip,
    configured,
    each_second,
    every,
    in_order,
    joined,
    nals,
    tag,
)


def avcc() -> bytes:
    return next(each.body[5:] for each in base() if each.kind == VIDEO and each.body[1] == 0)


def parameter_sets() -> tuple[bytes, bytes]:
    """Return the SPS and the PPS of the base stream."""
    record = avcc()
    size = int.from_bytes(record[6:8], "big")
    at = 8 + size + 1
    return record[8 : 8 + size], record[at + 2 : at + 2 + int.from_bytes(record[at : at + 2], "big")]


def annex_b(body: bytes, start_code: bytes = b"\0\0\0\1") -> bytes:
    return body[:5] + b"".join(start_code + unit for unit in nals(body[5:]))


def each_nal_alone(body: bytes) -> list[bytes]:
    return [body[:5] + joined([unit]) for unit in nals(body[5:])]


def headers_apart(body: bytes) -> list[bytes]:
    """Return one message for each AUD, SEI and parameter set, and one for all slices."""
    units = nals(body[5:])
    heads = [[unit] for unit in units if unit[0] & 31 > 5]
    slices = [unit for unit in units if unit[0] & 31 <= 5]
    return [body[:5] + joined(group) for group in [*heads, slices] if group]


def sliced() -> Stream:
    options = "slices=4:aud=1:nal-hrd=cbr:vbv-maxrate=600:vbv-bufsize=600:keyint=30"
    return list(clip("slices", (*X264, "-x264-params", options)))


def one_slice() -> Stream:
    options = "aud=1:keyint=30:sliced-threads=0:slices=1:threads=1"
    return list(clip("one-slice", (*LOW_LATENCY, *EACH_SECOND, "-x264-params", options)))


def with_small_sizes(size_bytes: int) -> Stream:
    """Return the base stream with NAL unit sizes of fewer than four bytes, which the avcC declares."""
    record = avcc()
    changed = record[:4] + bytes([0xFC | size_bytes - 1]) + record[5:]
    stream = configured(lambda body: body[:5] + changed)
    return every(
        lambda body: body[:5] + b"".join(len(unit).to_bytes(size_bytes, "big") + unit for unit in nals(body[5:])),
        source=stream,
    )


def without_avcc() -> Stream:
    sps, pps = parameter_sets()
    stream = [each for each in base() if each.kind != VIDEO or each.is_coded]
    return every(lambda body: body[:5] + joined([sps, pps]) + body[5:], key=True, source=stream)


def header_late(kind: int, until_ms: int) -> Stream:
    return in_order(
        tag(kind, until_ms, each.body) if each.kind == kind and not each.is_coded else each for each in base()
    )


def adts(body: bytes, *, crc: bool = False) -> bytes:
    """Return the message with an ADTS header before the frame (AAC-LC, 48 kHz, mono)."""
    header_bytes = 9 if crc else 7
    size = len(body) - 2 + header_bytes
    head = 0xFFF << 44 | (0 if crc else 1) << 40 | 1 << 38 | 3 << 34 | 1 << 30 | size << 13 | 0x7FF << 2
    return body[:2] + head.to_bytes(7, "big") + bytes(header_bytes - 7) + body[2:]


def changed_inside(body: bytes) -> bytes:
    """Return the message with other bytes in its middle: it begins and ends like a good one."""
    return body[:20] + bytes(each ^ 0x5A for each in body[20:-20]) + body[-20:]


def _before_each_coded(kind: int, extra: bytes, *, once: bool = False) -> Stream:
    made: Stream = []
    done = False
    for each in base():
        if each.kind == kind and each.is_coded and not done:
            made.append(tag(kind, each.at_ms, extra))
            done = once
        made.append(each)
    return made


def _asc_as_frame(asc: bytes) -> Stream:
    return _before_each_coded(AUDIO, b"\xaf\x01" + asc, once=True)


#: Number of the frame that is changed: well after the start.
_AT = 130

CASES = {
    "zero_nal_end": Case("empty NAL unit", lambda: every(lambda b: b + bytes(4), only=_AT)),
    "zero_nal_key": Case("empty NAL unit", lambda: every(lambda b: b[:5] + bytes(4) + b[5:], only=_AT, key=True)),
    "zero_nal_every_frame": Case("empty NAL unit", lambda: every(lambda b: b + bytes(4))),
    "zero_nal_every_key": Case("empty NAL unit", lambda: every(lambda b: b + bytes(4), key=True)),
    "trailing_zero1": Case("stray bytes", lambda: every(lambda b: b + b"\0", only=_AT)),
    "trailing_zero3": Case("stray bytes", lambda: every(lambda b: b + bytes(3), only=_AT)),
    "trailing_zero_every": Case("stray bytes", lambda: every(lambda b: b + b"\0")),
    "trailing_ff": Case("stray bytes", lambda: every(lambda b: b + b"\xff\xff\xff", only=_AT)),
    "nal_overrun": Case(
        "size beyond the frame", lambda: every(lambda b: b[:5] + len(b).to_bytes(4, "big") + b[9:], only=_AT)
    ),
    "nal_size_ffffffff": Case("size beyond the frame", lambda: every(lambda b: b[:5] + b"\xff" * 4 + b[9:], only=_AT)),
    "truncated": Case("frame cut in half", lambda: every(lambda b: b[: len(b) // 2], only=_AT)),
    "truncated_key": Case(
        "frame cut in half", lambda: every(lambda b: b[: len(b) // 2], only=_AT, key=True), still_s=1.6
    ),
    "annexb_all": Case("Annex B", lambda: every(annex_b)),
    "annexb_one": Case("Annex B", lambda: every(annex_b, only=_AT)),
    "annexb_short": Case("Annex B", lambda: every(lambda b: annex_b(b, b"\0\0\1"))),
    "avcc_as_nalu": Case("configuration as a frame", lambda: every(lambda b: b[:5] + avcc(), only=_AT)),
    "asc_as_frame": Case("configuration as a frame", lambda: _asc_as_frame(b"\x12\x10")),
    "asc_first_frame": Case("configuration as a frame", lambda: _asc_as_frame(b"\x11\x88")),
    "nal_per_message_4_slices": Case("picture in several messages", lambda: every(each_nal_alone, source=sliced())),
    "nal_per_message_1_slice": Case("picture in several messages", lambda: every(each_nal_alone, source=one_slice())),
    "headers_apart": Case("picture in several messages", lambda: every(headers_apart, source=one_slice())),
    "aud_only": Case("no slice", lambda: every(lambda b: b[:5] + joined([b"\x09\xf0"]), only=_AT)),
    "sei_only": Case("no slice", lambda: every(lambda b: b[:5] + joined([b"\x06\x05\x01\xaa\x80"]), only=_AT)),
    "empty_video_body": Case("no slice", lambda: _before_each_coded(VIDEO, b"\x27\x01\0\0\0")),
    "sps_pps_only": Case(
        "no slice", lambda: every(lambda b: [b[:5] + joined(parameter_sets()), b], only=_AT, key=True)
    ),
    "avcc_no_reserved_bits": Case(
        "odd avcC", lambda: configured(lambda b: b[:5] + avcc()[:4] + b"\x03\x01" + avcc()[6:])
    ),
    "avcc_profile_zero": Case("odd avcC", lambda: configured(lambda b: b[:5] + b"\x01\0\0\0" + avcc()[4:])),
    "avcc_profile_wrong": Case("odd avcC", lambda: configured(lambda b: b[:5] + b"\x01\x64\x00\x1f" + avcc()[4:])),
    "avcc_no_pps": Case(
        "odd avcC",
        lambda: configured(lambda b: b[:5] + avcc()[: 8 + len(parameter_sets()[0])] + b"\0"),
        counts_pictures=False,
        said="no_config",
    ),
    "avcc_two_sps": Case("odd avcC", lambda: configured(_two_sps)),
    "nal_sizes_of_2_bytes": Case("odd avcC", lambda: with_small_sizes(2)),
    "nal_sizes_of_3_bytes": Case("odd avcC", lambda: with_small_sizes(3)),
    "no_avcc_inband": Case("no avcC", without_avcc),
    "avcc_late_4s": Case("header late", lambda: header_late(VIDEO, 4_010), first_s=6, still_s=1.5),
    "asc_late_4s": Case("header late", lambda: header_late(AUDIO, 4_000), still_s=1.5),
    "no_asc": Case("header never", lambda: [each for each in base() if each.kind != AUDIO or each.is_coded]),
    "empty_asc_first": Case("empty message", lambda: [tag(AUDIO, 0, b"\xaf\x00"), *base()]),
    "empty_audio_messages": Case("empty message", lambda: each_second(lambda each: tag(AUDIO, each.at_ms, b""))),
    "empty_audio_frames": Case("empty message", lambda: _before_each_coded(AUDIO, b"\xaf\x01")),
    "empty_video_messages": Case("empty message", lambda: each_second(lambda each: tag(VIDEO, each.at_ms, b""))),
    "aac_1byte": Case("garbage audio", lambda: every(lambda b: b"\xaf\x01\0", kind=AUDIO, only=200)),
    "aac_1byte_each_second": Case(
        "garbage audio", lambda: each_second(lambda each: tag(AUDIO, each.at_ms, b"\xaf\x01\0"))
    ),
    "aac_garbage": Case(
        "garbage audio", lambda: every(lambda b: b"\xaf\x01" + bytes(range(7, 207)), kind=AUDIO, only=200)
    ),
    "aac_changed_bytes": Case("garbage audio", lambda: every(changed_inside, kind=AUDIO, only=200)),
    "aac_truncated": Case("garbage audio", lambda: every(lambda b: b[: len(b) // 2], kind=AUDIO, only=200)),
    "adts_inside": Case("ADTS inside", lambda: every(adts, kind=AUDIO)),
    "adts_one": Case("ADTS inside", lambda: every(adts, kind=AUDIO, only=200)),
    "adts_no_asc": Case(
        "ADTS inside",
        lambda: every(adts, kind=AUDIO, source=[each for each in base() if each.kind != AUDIO or each.is_coded]),
    ),
    "no_metadata": Case("no metadata", lambda: [each for each in base() if each.kind != DATA]),
}


def _two_sps(body: bytes) -> bytes:
    record, (sps, _) = avcc(), parameter_sets()
    twice = 2 * (len(sps).to_bytes(2, "big") + sps)
    return body[:5] + record[:5] + b"\xe2" + twice + record[8 + len(sps) :]
