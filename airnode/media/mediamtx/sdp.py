"""Reads and reorders the video codecs of an SDP (RFC 8866). No I/O."""

import re

#: Names in ``a=rtpmap`` of the playable codecs, in lower case.
_PLAYABLE = frozenset({"h264", "h265", "av1"})
#: Names in ``a=rtpmap`` that are no codecs: retransmission and error correction.
_AUXILIARY = frozenset({"rtx", "red", "ulpfec", "flexfec-03"})
_VIDEO = re.compile(r"^m=video (?P<port>\S+) (?P<protocol>\S+) (?P<types>[0-9 ]+)\s*$", re.MULTILINE)
_RTPMAP = re.compile(r"^a=rtpmap:(?P<type>\d+) (?P<name>[^/\s]+)/", re.MULTILINE)


def unplayable_video(offer: str) -> str:
    """Return the names of the offered video codecs if none of them can be played, else an empty string."""
    names = [name for section in _video_sections(offer) for name in _codecs(section).values()]
    codecs = [name for name in dict.fromkeys(names) if name.lower() not in _AUXILIARY]
    return "" if any(name.lower() in _PLAYABLE for name in codecs) else ", ".join(codecs)


def prefer_h264(sdp: str) -> str:
    """Return the SDP with H.264 as the first video codec: browsers send the first codec of an answer."""
    for section in _video_sections(sdp):
        line = _VIDEO.match(section)
        if line is None:
            continue
        codecs = _codecs(section)
        types = line["types"].split()
        types.sort(key=lambda each: codecs.get(each, "").lower() != "h264")
        head = f"m=video {line['port']} {line['protocol']} {' '.join(types)}"
        sdp = sdp.replace(line[0].rstrip("\r"), head, 1)
    return sdp


def _video_sections(sdp: str) -> list[str]:
    return [section for section in re.split(r"^(?=m=)", sdp, flags=re.MULTILINE) if section.startswith("m=video")]


def _codecs(section: str) -> dict[str, str]:
    """Return {payload type: name of its codec}."""
    return {found["type"]: found["name"] for found in _RTPMAP.finditer(section)}
