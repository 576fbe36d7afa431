"""Writes a grey H.264 picture, with which decoders can begin a stream without IDR pictures.

A stream with intra refresh has no picture that decoders begin with. After a grey IDR picture they decode the next
pictures: the picture is complete as soon as the encoder has refreshed all of it. With an open GOP they begin with an I
picture, but stop at later pictures that name pictures before it, which may no longer be used.

The picture uses a parameter set of its own, in which a macroblock of one grey takes 8 bits: Intra_16x16 with DC
prediction (which is grey without neighbours), no residual, CAVLC (ITU-T H.264 7.3, 8.3.3, 9.2).
"""

import re
from collections.abc import Sequence
from typing import Final

from airnode.media.codecs import avc
from airnode.media.codecs.bits import BitReader, BitstreamError, PictureSyntax, SequenceInfo, unescape

_SLICES: Final = (1, 5)
_IDR: Final = 5
#: nal_ref_idc 3, with the types of an IDR slice and of a picture parameter set.
_IDR_HEADER, _PPS_HEADER = b"\x65", b"\x68"
_MAX_PPS_ID: Final = 255
#: mb_type 3 (I_16x16_2_0_0), intra_chroma_pred_mode 0, mb_qp_delta 0, coeff_token of no coefficients.
_GREY_MACROBLOCK: Final = b"\x27"
_SLICE_HEADER_BYTES: Final = 32
_NEEDS_ESCAPE: Final = re.compile(rb"\x00\x00(?=[\x00-\x03])")


def grey_picture(sps: bytes, pps: Sequence[bytes], following: bytes) -> list[bytes]:
    """Return the NAL units of a grey picture; empty: airnode cannot write one for this stream.

    Args:
        sps, pps: the parameter sets of the stream.
        following: the first slice that is decoded after the grey picture. The grey picture is presented before it.
    """
    try:
        info = avc.parse_sps(sps)
        pictures = info.pictures
        if pictures is None or not pictures.is_progressive or info.chroma_format not in (1, 2):
            return []
        taken = {avc.parse_pps_ids(each)[0] for each in pps}
        pps_id = next(number for number in range(_MAX_PPS_ID, -1, -1) if number not in taken)
        order = _picture_order(following, pictures)
    except (BitstreamError, StopIteration, IndexError):
        return []
    return [
        sps,
        *pps,
        _PPS_HEADER + _escape(_own_pps(pps_id, info)),
        _IDR_HEADER + _escape(_slice(pps_id, pictures, order)),
    ]


def is_idr(slice_nal: bytes) -> bool:
    return slice_nal[0] & 0x1F == _IDR


def first_slice(nals: Sequence[bytes]) -> bytes:
    """Return the first slice; empty: there is none."""
    return next((nal for nal in nals if nal[0] & 0x1F in _SLICES and len(nal) > 1), b"")


def _picture_order(nal: bytes, pictures: PictureSyntax) -> int:
    """Return the pic_order_cnt_lsb for a picture before the one of this slice, which is of no IDR picture."""
    if not pictures.order_bits:
        return 0
    reader = BitReader(unescape(nal[1:_SLICE_HEADER_BYTES]))
    for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
        reader.ue()
    reader.skip(pictures.frame_num_bits)
    return (reader.u(pictures.order_bits) - 2) % (1 << pictures.order_bits)


def _own_pps(pps_id: int, info: SequenceInfo) -> str:
    """Return the bits of a parameter set with CAVLC, one slice group, and control of the deblocking filter."""
    return _ue(pps_id) + _ue(info.set_id) + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "100" + "1"


def _slice(pps_id: int, pictures: PictureSyntax, order: int) -> str:
    """Return the bits of the only slice of the picture: its header, and its macroblocks."""
    header = _ue(0) + _ue(7) + _ue(pps_id) + "0" * pictures.frame_num_bits + _ue(0)
    if pictures.order_bits:
        header += f"{order:0{pictures.order_bits}b}"
    if pictures.has_order_deltas:
        header += _ue(0)
    header += "00" + _ue(0) + _ue(1)  # dec_ref_pic_marking, slice_qp_delta, disable_deblocking_filter_idc
    return header + f"{_GREY_MACROBLOCK[0]:08b}" * pictures.macroblocks + "1"


def _ue(value: int) -> str:
    """Return an unsigned Exp-Golomb code (9.1)."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _escape(bits: str) -> bytes:
    """Return the bits as bytes with emulation prevention (7.4.1); the last bit is the stop bit."""
    bits += "0" * (-len(bits) % 8)
    return _NEEDS_ESCAPE.sub(b"\0\0\3", int(bits, 2).to_bytes(len(bits) // 8, "big"))
