"""More cases of NAL units, configurations and sound: other forms of the kinds in ``sample_cases``."""

from tests.encoders.cases import Case
from tests.encoders.device_cases import with_nals
from tests.encoders.media_cases import x264
from tests.encoders.sample_cases import adts, annex_b, avcc, parameter_sets, sliced
from tests.encoders.stream import (
    AUDIO,
    EACH_SECOND,
    LOW_LATENCY,
    VIDEO,
    Stream,
    base,
    clip,
    configured,
    each_second,
    every,
    in_order,
    joined,
    nals,
    one_after_the_other,
    tag,
)

_PLAIN = (*LOW_LATENCY, *EACH_SECOND)
#: Types of H.264 NAL units that a picture may contain beside its slices: prefix, subset SPS, reserved, unspecified.
_ODD_TYPES = (14, 16, 18, 22, 23, 30, 31)
_AT = 130


def many_references() -> Stream:
    return x264("refs-8", "ref=8:weightp=2:bframes=2:keyint=30:scenecut=0")


def user_data(size_bytes: int) -> bytes:
    """Return an SEI NAL unit with user data of this size (H.264 D.1.7)."""
    return b"\x06\x05" + b"\xff" * (size_bytes // 255) + bytes([size_bytes % 255]) + b"\x55" * size_bytes + b"\x80"


def with_empty_units(body: bytes) -> bytes:
    """Return the message with an empty NAL unit in front of each NAL unit."""
    return body[:5] + joined([part for unit in nals(body[5:]) for part in (b"", unit)])


def aggregated(body: bytes) -> bytes:
    """Return the message with all NAL units in one STAP-A packet (RFC 6184 5.7.1), as from a careless gateway."""
    units = nals(body[5:])
    if any(len(unit) > 0xFFFF for unit in units):
        return body
    return body[:5] + joined([b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)])


def damaged(body: bytes) -> bytes:
    """Return the message with other bytes in the middle of its last slice."""
    middle = len(body) * 3 // 4
    return body[:middle] + bytes(byte ^ 0x5A or 1 for byte in body[middle : middle + 40]) + body[middle + 40 :]


def other_level(body: bytes) -> bytes:
    """Return the sequence header with another level in the record and in the SPS."""
    sps, _ = parameter_sets()
    record = bytearray(body)
    for at in (5 + 3, 5 + 8 + 3):
        record[at] = 0x29
    assert sps[3] != 0x29
    return bytes(record)


def header_alternates() -> Stream:
    """Return the base stream with a sequence header in front of each key frame, with alternating levels."""
    head = next(each.body for each in base() if each.kind == VIDEO and not each.is_coded)
    made: Stream = []
    number = 0
    for each in base():
        if each.is_key:
            made.append(tag(VIDEO, each.at_ms, head if number % 2 else other_level(head)))
            number += 1
        made.append(each)
    return made


def header_often() -> Stream:
    """Return the base stream with a sequence header in front of each tenth frame."""
    heads = [each for each in base() if each.kind in (AUDIO, VIDEO) and not each.is_coded]
    made: Stream = []
    for number, each in enumerate(base()):
        if number and number % 10 == 0:
            made += [tag(head.kind, each.at_ms, head.body) for head in heads]
        made.append(each)
    return made


def size_changes_in_band() -> Stream:
    """Return a stream whose size changes; the new parameter sets come only in the frames."""
    parts = (clip("base"), clip("rotate", _PLAIN, picture="testsrc2=size=360x640:rate=30"), clip("base"))
    made: Stream = []
    sets: list[bytes] = []
    for each in one_after_the_other(*parts):
        if each.kind == VIDEO and not each.is_coded:
            record = each.body[5:]
            size = int.from_bytes(record[6:8], "big")
            sets = [record[8 : 8 + size], record[8 + size + 3 :][: int.from_bytes(record[8 + size + 1 :][:2], "big")]]
            made += [] if made and each.at_ms else [each]
        elif each.is_key:
            made.append(tag(VIDEO, each.at_ms, each.body[:5] + joined(sets) + each.body[5:]))
        else:
            made.append(each)
    return made


def begins_midway(ms: int) -> Stream:
    """Return the base stream without the key frames before a time."""
    return [each for each in base() if not (each.is_key and each.at_ms < ms)]


def adts_group(count: int) -> Stream:
    """Return the base stream with several ADTS frames in each audio message."""
    made: Stream = []
    group: list[bytes] = []
    begin_ms = 0
    for each in base():
        if each.kind != AUDIO or not each.is_coded:
            made.append(each)
            continue
        begin_ms = begin_ms if group else each.at_ms
        group.append(adts(each.body)[2:])
        if len(group) == count:
            made.append(tag(AUDIO, begin_ms, b"\xaf\x01" + b"".join(group)))
            group = []
    return in_order(made)


def latm(body: bytes) -> bytes:
    """Return the message with its frame in a LOAS header (ISO 14496-3 1.7.2)."""
    payload = body[2:]
    return body[:2] + b"\x56" + (0xE000 | len(payload)).to_bytes(2, "big") + payload


def alternating_asc() -> Stream:
    """Return the base stream with an AudioSpecificConfig each second: mono, then stereo, though the sound is mono."""
    made: Stream = []
    next_ms, number = 1_000, 0
    for each in base():
        if each.at_ms >= next_ms:
            made.append(tag(AUDIO, each.at_ms, b"\xaf\0" + (b"\x11\x88" if number % 2 else b"\x11\x90")))
            next_ms, number = next_ms + 1_000, number + 1
        made.append(each)
    return made


def with_sbr() -> Stream:
    """Return a stream with sound at 24 kHz; its AudioSpecificConfig announces HE-AAC at 48 kHz."""
    stream = list(clip("a24", _PLAIN, ("-c:a", "aac", "-ar", "24000", "-ac", "1")))
    head = bytes.fromhex("2b098800")
    return [tag(AUDIO, e.at_ms, e.body[:2] + head) if e.kind == AUDIO and not e.is_coded else e for e in stream]


def asc(record: bytes) -> Stream:
    return configured(lambda body: body[:2] + record, kind=AUDIO)


CASES = {
    "zero_nal_middle": Case("empty NAL unit", lambda: every(with_empty_units, source=sliced())),
    "zero_nal_1000": Case("empty NAL unit", lambda: every(lambda b: b + bytes(4_000))),
    "zero_nal_only": Case("empty NAL unit", lambda: every(lambda b: [b[:5] + bytes(8), b], only=_AT)),
    "odd_nal_types": Case(
        "odd NAL unit", lambda: with_nals([bytes([kind, 1, 2, 3]) for kind in _ODD_TYPES], [b"\x1f\1\2"])
    ),
    "nal_type_0": Case("odd NAL unit", lambda: with_nals([b"\0\1\2\3"], [])),
    "stap_a": Case("odd NAL unit", lambda: every(aggregated)),
    "forbidden_bit": Case(
        "odd NAL unit", lambda: every(lambda b: b[:9] + bytes([b[9] | 0x80]) + b[10:], only=_AT), still_s=1.6
    ),
    "huge_sei": Case("SEI", lambda: with_nals([user_data(200_000)], [], key=True)),
    "sei_each_frame_20_kB": Case("SEI", lambda: with_nals([user_data(20_000)], [])),
    "sei_too_long": Case("SEI", lambda: with_nals([user_data(300)[:-1]], [], key=True)),
    "sei_cut": Case("SEI", lambda: with_nals([user_data(300)[:100]], [])),
    "sei_of_1_byte": Case("SEI", lambda: with_nals([b"\x06\x05\x01\xaa\x80"], [])),
    "sei_truncated": Case("SEI", lambda: with_nals([b"\x06\x06\xff"], [])),
    "start_code_after_size": Case(
        "Annex B", lambda: every(lambda b: b[:5] + joined([b"\0\0\0\1" + u for u in nals(b[5:])]))
    ),
    "annexb_zeros_behind": Case("Annex B", lambda: every(lambda b: annex_b(b) + bytes(5))),
    "annexb_4_slices": Case("Annex B", lambda: every(lambda b: annex_b(b, b"\0\0\1"), source=sliced())),
    "annexb_no_avcc": Case(
        "Annex B",
        lambda: every(
            lambda b: annex_b(b[:5] + joined(parameter_sets()) + b[5:]) if b[0] >> 4 == 1 else annex_b(b),
            source=[each for each in base() if each.kind != VIDEO or each.is_coded],
        ),
    ),
    "annexb_avcc": Case(
        "Annex B", lambda: configured(lambda b: b[:5] + b"".join(b"\0\0\0\1" + s for s in parameter_sets()))
    ),
    "lost_slice_first": Case(
        "picture lost",
        lambda: every(lambda b: b[:5] + joined(_without_first_slice(nals(b[5:]))), only=_AT, source=sliced()),
        still_s=1.6,
    ),
    "lost_slice_last": Case(
        "picture lost",
        lambda: every(lambda b: b[:5] + joined(nals(b[5:])[:-1]), only=_AT, source=sliced()),
        still_s=1.6,
    ),
    "lost_pictures": Case(
        "picture lost",
        lambda: [e for n, e in enumerate(base()) if n % 97 or not e.is_coded or e.kind != VIDEO],
        still_s=1.6,
    ),
    "lost_pictures_8_refs": Case(
        "picture lost",
        lambda: [e for n, e in enumerate(many_references()) if n % 97 or not e.is_coded or e.kind != VIDEO],
        still_s=1.6,
    ),
    "lost_key_frame": Case(
        "picture lost", lambda: [e for e in base() if not (e.is_key and 4_900 < e.at_ms < 5_100)], still_s=1.6
    ),
    "aud_only_8_refs": Case(
        "no slice",
        lambda: every(lambda b: b[:5] + joined([b"\x09\xf0"]), only=_AT, source=many_references()),
        still_s=1.6,
    ),
    "truncated_8_refs": Case(
        "frame cut in half", lambda: every(lambda b: b[: len(b) // 2], only=_AT, source=many_references()), still_s=1.6
    ),
    "truncated_each_second": Case(
        "frame cut in half",
        lambda: [
            tag(e.kind, e.at_ms, e.body[: len(e.body) // 2]) if e.kind == VIDEO and n % 97 == 0 and n else e
            for n, e in enumerate(base())
        ],
        still_s=1.6,
    ),
    "damaged_picture": Case("damaged picture", lambda: every(damaged, only=_AT), still_s=1.6),
    "damaged_key_frame": Case("damaged picture", lambda: every(damaged, only=_AT, key=True), still_s=1.6),
    "every_picture_twice": Case("phone", lambda: every(lambda b: [b, b])),
    "header_alternates": Case("header repeated", header_alternates, still_s=1.6),
    "header_often": Case("header repeated", header_often),
    "size_changes_in_band": Case("change of size", size_changes_in_band, seconds=14),
    "avcc_no_pps_in_band": Case(
        "odd avcC",
        lambda: every(
            lambda b: b[:5] + joined([parameter_sets()[1]]) + b[5:],
            key=True,
            source=configured(lambda b: b[:5] + avcc()[: 8 + len(parameter_sets()[0])] + b"\0"),
        ),
    ),
    "avcc_empty": Case("odd avcC", lambda: [tag(VIDEO, 0, b"\x17\0\0\0\0"), *base()]),
    "avcc_garbage": Case(
        "odd avcC",
        lambda: each_second(lambda e: tag(VIDEO, e.at_ms, b"\x17\0\0\0\0\1\x64\0\x1f\xff\xe1\xff\xff\1\2\3")),
    ),
    "begins_midway_3s": Case("begins midway", lambda: begins_midway(2_900), first_s=6),
    "video_17_02": Case("end of sequence", lambda: each_second(lambda e: tag(VIDEO, e.at_ms, b"\x17\2\0\0\0"))),
    "video_1_byte": Case("empty message", lambda: each_second(lambda e: tag(VIDEO, e.at_ms, b"\x17"))),
    "audio_1_byte": Case("empty message", lambda: each_second(lambda e: tag(AUDIO, e.at_ms, b"\xaf"))),
    "adts_crc": Case("ADTS inside", lambda: every(lambda b: adts(b, crc=True), kind=AUDIO)),
    "adts_3_in_a_message": Case("ADTS inside", lambda: adts_group(3)),
    "adts_cut": Case("ADTS inside", lambda: every(lambda b: adts(b)[:-3], kind=AUDIO, only=200)),
    "latm": Case("garbage audio", lambda: every(latm, kind=AUDIO)),
    "asc_alternates": Case("odd AAC configuration", alternating_asc, still_s=1.6),
    "asc_says_stereo": Case("odd AAC configuration", lambda: asc(b"\x11\x90")),
    "asc_says_sbr": Case("odd AAC configuration", with_sbr),
    "asc_zeros_behind": Case("odd AAC configuration", lambda: asc(b"\x11\x88\0\0\0\0")),
    "asc_invalid": Case("odd AAC configuration", lambda: asc(b"\xff\xff")),
    "asc_main_profile": Case("odd AAC configuration", lambda: asc(b"\x09\x88")),
    "asc_empty_midway": Case("odd AAC configuration", lambda: each_second(lambda e: tag(AUDIO, e.at_ms, b"\xaf\0"))),
    "aac_flags_zero": Case(
        "odd AAC configuration",
        lambda: [tag(AUDIO, e.at_ms, b"\xa0" + e.body[1:]) if e.kind == AUDIO else e for e in base()],
    ),
    "silence_4_bytes": Case("garbage audio", lambda: every(lambda b: b"\xaf\x01\x01\x40\x20\x07", kind=AUDIO)),
}


def _without_first_slice(units: list[bytes]) -> list[bytes]:
    first = next(at for at, unit in enumerate(units) if unit[0] & 31 in (1, 5))
    return units[:first] + units[first + 1 :]
