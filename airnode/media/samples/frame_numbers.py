"""Notices that pictures are missing, by frame_num in the slice headers (ITU-T H.264 7.4.3).

An encoder or a proxy that drops messages on a slow network leaves such a gap. Decoders continue if pictures refer only
to the one before; otherwise, later commands to remove a picture that is missing are errors, at which Chromium stops.
"""

from typing import Final, Self

from airnode.media.codecs.bits import SequenceInfo

_IDR: Final = 5
_HEAD_BITS: Final = 64
_HEAD_BYTES: Final = _HEAD_BITS // 8
#: A gap counts only after this many pictures without one: some encoders write wrong numbers.
_TRUSTED_PICTURES: Final = 30


class FrameNumbers:
    """Compares the frame_num of one track's pictures; make it anew for each sequence parameter set."""

    def __init__(self, frame_num_bits: int) -> None:
        self._bits = frame_num_bits
        self._mask = (1 << frame_num_bits) - 1
        #: frame_num of the last reference picture; -1: not known.
        self._last = -1
        self._good = 0

    @classmethod
    def of(cls, sequence: SequenceInfo | None) -> Self | None:
        """Return a new instance; None: a gap does no harm in this sequence, or it cannot be noticed."""
        if sequence is None or sequence.pictures is None or sequence.reference_frames < 2:
            return None
        pictures = sequence.pictures
        # With three colour planes, colour_plane_id may come before frame_num.
        return None if pictures.allows_gaps or sequence.chroma_format == 3 else cls(pictures.frame_num_bits)

    def misses_picture(self, data: bytes, pos: int) -> bool:
        """Return whether reference pictures are missing before this picture. It is called for every picture.

        Args:
            data, pos: the position of the first slice's NAL unit, with first_mb_in_slice 0.
        """
        header = data[pos]
        head = data[pos + 1 : pos + 1 + _HEAD_BYTES]
        if b"\0\0\3" in head:
            head = data[pos + 1 : pos + 5 + _HEAD_BYTES].replace(b"\0\0\3", b"\0\0")[:_HEAD_BYTES]
        value, left = int.from_bytes(head.ljust(_HEAD_BYTES, b"\0"), "big"), _HEAD_BITS - 1
        value &= (1 << left) - 1
        for _ in range(2):  # slice_type, pic_parameter_set_id
            left -= 2 * (left - value.bit_length()) + 1
            if left < self._bits:
                return False
            value &= (1 << left) - 1
        number = value >> (left - self._bits)
        last = self._last
        is_gap = header & 0x1F != _IDR and last >= 0 and number != last and number != (last + 1) & self._mask
        self._last = number if header & 0x60 or last < 0 else (number - 1) & self._mask if is_gap else last
        if not is_gap:
            self._good += 1
            return False
        is_trusted, self._good = self._good >= _TRUSTED_PICTURES, 0
        return is_trusted
