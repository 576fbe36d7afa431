"""Writes grey H.264 pictures, with which decoders can begin a stream without IDR pictures.

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
#: nal_ref_idc 3, with the types of an IDR slice, of another slice and of a picture parameter set.
_IDR_HEADER, _INTRA_HEADER, _PPS_HEADER = b"\x65", b"\x61", b"\x68"
_MAX_PPS_ID: Final = 255
#: mb_type 3 (I_16x16_2_0_0), intra_chroma_pred_mode 0, mb_qp_delta 0, coeff_token of no coefficients.
_GREY_MACROBLOCK: Final = b"\x27"
_SLICE_HEADER_BYTES: Final = 32
_NEEDS_ESCAPE: Final = re.compile(rb"\x00\x00(?=[\x00-\x03])")


def grey_pictures(sps: bytes, pps: Sequence[bytes], following: bytes) -> list[list[bytes]]:
    """Return the NAL units of one or two grey pictures; empty: airnode cannot write them for this stream.

    There are two if frame_num of the following picture is too near to the first one's: decoders fill gaps in frame_num
    with as many pictures as they keep, and later pictures of an open GOP name such pictures (H.264 8.2.5.2).

    Args:
        sps, pps: the parameter sets of the stream.
        following: the first slice that is decoded after the grey pictures. They are presented before it.
    """
    try:
        info = avc.parse_sps(sps)
        pictures = info.pictures
        if pictures is None or not pictures.is_progressive or info.chroma_format not in (1, 2):
            return []
        taken = {avc.parse_pps_ids(each)[0] for each in pps}
        pps_id = next(number for number in range(_MAX_PPS_ID, -1, -1) if number not in taken)
        number, order = _frame_num_and_order(following, pictures)
    except (BitstreamError, StopIteration, IndexError):
        return []
    step = 2 * bool(pictures.order_bits)
    orders = [(order - step * ahead) % (1 << pictures.order_bits) for ahead in (2, 1)]
    first = _IDR_HEADER + _escape(_slice(pps_id, pictures, orders[0], None))
    found = [[sps, *pps, _PPS_HEADER + _escape(_own_pps(pps_id, info)), first]]
    if number <= info.reference_frames:
        between = (number - info.reference_frames - 2) % (1 << pictures.frame_num_bits)
        found.append([_INTRA_HEADER + _escape(_slice(pps_id, pictures, orders[1], between))])
    return found


def is_idr(slice_nal: bytes) -> bool:
    return slice_nal[0] & 0x1F == _IDR


def first_slice(nals: Sequence[bytes]) -> bytes:
    """Return the first slice; empty: there is none."""
    return next((nal for nal in nals if nal[0] & 0x1F in _SLICES and len(nal) > 1), b"")


def _frame_num_and_order(nal: bytes, pictures: PictureSyntax) -> tuple[int, int]:
    """Return (frame_num, pic_order_cnt_lsb) of a slice that is not of an IDR picture."""
    reader = BitReader(unescape(nal[1:_SLICE_HEADER_BYTES]))
    for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
        reader.ue()
    return reader.u(pictures.frame_num_bits), reader.u(pictures.order_bits)


def _own_pps(pps_id: int, info: SequenceInfo) -> str:
    """Return the bits of a parameter set with CAVLC, one slice group, and control of the deblocking filter."""
    return _ue(pps_id) + _ue(info.set_id) + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "100" + "1"


def _slice(pps_id: int, pictures: PictureSyntax, order: int, number: int | None) -> str:
    """Return the bits of the only slice of a picture: its header, and its macroblocks. ``number`` None: it is IDR."""
    header = _ue(0) + _ue(7) + _ue(pps_id) + f"{number or 0:0{pictures.frame_num_bits}b}"
    header += _ue(0) if number is None else ""  # idr_pic_id
    if pictures.order_bits:
        header += f"{order:0{pictures.order_bits}b}"
    if pictures.has_order_deltas:
        header += _ue(0)
    header += "00" if number is None else "0"  # dec_ref_pic_marking
    header += _ue(0) + _ue(1)  # slice_qp_delta, disable_deblocking_filter_idc
    return header + f"{_GREY_MACROBLOCK[0]:08b}" * pictures.macroblocks + "1"


def _ue(value: int) -> str:
    """Return an unsigned Exp-Golomb code (9.1)."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _escape(bits: str) -> bytes:
    """Return the bits as bytes with emulation prevention (7.4.1); the last bit is the stop bit."""
    bits += "0" * (-len(bits) % 8)
    return _NEEDS_ESCAPE.sub(b"\0\0\3", int(bits, 2).to_bytes(len(bits) // 8, "big"))
