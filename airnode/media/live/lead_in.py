"""What a viewer of ``live.mp4`` gets in front of a key frame that decoders cannot begin with. No I/O.

With intra refresh, no picture is one that browsers begin with; with an open GOP, Chromium stops at some pictures after
it. So a viewer who joins at a key frame that is no IDR picture gets a grey one before it. Viewers who are there already
do not get it.
"""

from struct import error, unpack_from

from airnode.media.cmaf.bmff import VIDEO_TRACK_ID
from airnode.media.cmaf.fragment import TrackRun, write_fragment
from airnode.media.codecs import avc
from airnode.media.codecs.bits import BitstreamError
from airnode.media.codecs.grey_picture import first_slice, grey_picture, is_idr
from airnode.media.live.fragmenter import Fragment

#: The grey picture is shown for at most this long.
_DURATION_90K = 3_000
_MAX_NALS = 64


def lead_in(init: bytes, fragment: Fragment) -> bytes:
    """Return a fragment with a grey picture; empty: decoders begin with this fragment, or no such picture can be made.

    Args:
        init: the initialization section.
        fragment: the first one that the viewer gets; a key frame.
    """
    at = init.find(b"avcC")
    if at < 4:
        return b""
    try:
        dts_90k, cts_90k, nals = _first_picture(fragment.body)
        following = first_slice(nals)
        if not following or is_idr(following) or dts_90k < _DURATION_90K:
            return b""
        (size_bytes,) = unpack_from(">I", init, at - 4)
        _, sps, pps = avc.read_avcc(init[at + 4 : at - 4 + size_bytes])
    except (BitstreamError, ValueError, error):
        return b""
    grey = grey_picture(sps[0], pps, following) if sps else []
    if not grey:
        return b""
    run = TrackRun(VIDEO_TRACK_ID, dts_90k - _DURATION_90K, video=True)
    data = b"".join(len(nal).to_bytes(4, "big") + nal for nal in grey)
    run.add_video(data, _DURATION_90K, cts_90k, is_key=True)
    return write_fragment(0, [run])


def _first_picture(body: bytes) -> tuple[int, int, list[bytes]]:
    """Return (decode time, composition offset, NAL units) of the first picture of a fragment that airnode wrote.

    Raises:
        ValueError: there is no video.
    """
    moof = body.index(b"moof") - 4
    traf = body.index(b"traf", moof) - 4
    _, track_id = unpack_from(">II", body, traf + 16)
    if track_id != VIDEO_TRACK_ID:
        raise ValueError("no video")
    (dts_90k,) = unpack_from(">Q", body, traf + 36)
    offset, _, size_bytes, _, cts_90k = unpack_from(">iIIIi", body, traf + 60)
    data = body[moof + offset : moof + offset + size_bytes]
    nals, pos = list[bytes](), 0
    while pos + 4 < len(data) and len(nals) < _MAX_NALS:
        (size_bytes,) = unpack_from(">I", data, pos)
        if size_bytes:
            nals.append(data[pos + 4 : pos + 4 + size_bytes])
        pos += 4 + size_bytes
    return dts_90k, cts_90k, nals
