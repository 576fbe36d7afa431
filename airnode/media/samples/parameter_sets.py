"""Collects a video track's parameter sets from its configuration and its frames, and makes a record from them."""

from typing import Literal

from airnode.media.codecs import avc, hevc
from airnode.media.codecs.bits import MAX_HEADER_BYTES, BitstreamError, SequenceInfo
from airnode.media.frames import VideoConfig
from airnode.media.samples.nal_units import split_annexb

#: Most sets in a record: their numbers are fields of 5 and 8 bits.
_MAX_SPS, _MAX_PPS = 31, 255

SetKind = Literal["vps", "sps", "pps"]


class ParameterSets:
    """VPS, SPS and PPS by their ids. A later set replaces an earlier one with the same id.

    Attributes:
        length_size: bytes of the size in front of each NAL unit, from the record.
        known: all current sets, as the publisher sent them.
    """

    def __init__(self, codec: Literal["avc", "hevc"]) -> None:
        self._codec = codec
        self.length_size = 4
        self.known: set[bytes] = set()
        self._sets: dict[SetKind, dict[int, bytes]] = {"vps": {}, "sps": {}, "pps": {}}
        #: The publisher's record; empty: no record came, or a later set differs from it.
        self._record = b""

    def replace(self, record: bytes) -> None:
        """Replace all sets with those of a record.

        Raises:
            BitstreamError: the record is cut short or invalid; nothing changed.
        """
        if record.startswith((b"\0\0\1", b"\0\0\0\1")):  # start codes instead of a record
            length_size, nals = 4, split_annexb(record)
        elif self._codec == "avc":
            length_size, sps, pps = avc.read_avcc(record)
            nals = [*sps, *pps]
        else:
            length_size, nals = hevc.read_hvcc(record)
        found: dict[SetKind, dict[int, bytes]] = {"vps": {}, "sps": {}, "pps": {}}
        for nal in nals:
            identity = self._identify(nal)
            if identity is not None:
                kind, set_id = identity
                found[kind].setdefault(set_id, nal.rstrip(b"\0"))
        self._sets, self._record, self.length_size = found, record, length_size
        self._update_known()

    def add(self, nal: bytes) -> bool:
        """Store a set from a frame. Return whether it is new or has changed.

        Raises:
            BitstreamError: it is cut short or invalid.
        """
        identity = self._identify(nal)
        if identity is None:
            return False
        kind, set_id = identity
        stripped = nal.rstrip(b"\0")
        if self._sets[kind].get(set_id) == stripped:
            self.known.add(nal)
            return False
        self._sets[kind][set_id] = stripped
        self._record = b""
        self._update_known()
        return True

    def config(self) -> tuple[VideoConfig, bool] | None:
        """Return the configuration, and whether the publisher's record had to be changed; None: sets are missing.

        Raises:
            BitstreamError: the sets do not make a valid record.
        """
        sps, pps = self._in_order()
        if not sps or not pps or (self._codec == "hevc" and not self._sets["vps"]):
            return None
        if self._codec == "avc":
            record = avc.write_avcc(sps, pps)
            # Records of the high profiles may lack the chroma format, or have more bytes after it.
            is_right = self._record.startswith(record) or (bool(self._record) and record.startswith(self._record))
            kept = self._record if is_right else record
            return avc.parse_avcc(kept), bool(self._record) and kept is record
        record = hevc.write_hvcc(list(self._sets["vps"].values()), sps, pps)
        kept = self._record if self._record[:13] == record[:13] and self.length_size == 4 else record
        return hevc.parse_hvcc(kept), bool(self._record) and kept is record

    def sequence(self) -> SequenceInfo | None:
        """Return the fields of the SPS in use; None: there is none, or this is HEVC."""
        sps, _ = self._in_order()
        return avc.parse_sps(sps[0]) if self._codec == "avc" and sps else None

    def decoding_fields(self) -> list[object]:
        """Return what the decoding of slices depends on; empty: not known (HEVC)."""
        if self._codec == "hevc":
            return []
        sps, pps = self._in_order()
        return [*map(avc.decoding_fields, sps), *pps]

    def nals(self) -> list[bytes]:
        """Return all current sets, in the order in which decoders need them."""
        return [nal for sets in self._sets.values() for nal in sets.values()]

    def _in_order(self) -> tuple[list[bytes], list[bytes]]:
        """Return (SPS, PPS); the SPS that the first PPS uses is the first one."""
        sps, pps = dict(self._sets["sps"]), list(self._sets["pps"].values())[:_MAX_PPS]
        parse_ids = avc.parse_pps_ids if self._codec == "avc" else hevc.parse_pps_ids
        used = sps.pop(parse_ids(pps[0])[1], None) if pps else None
        return [*([] if used is None else [used]), *sps.values()][:_MAX_SPS], pps

    def _identify(self, nal: bytes) -> tuple[SetKind, int] | None:
        """Return (kind, id) of a parameter set; None: it is another NAL unit."""
        if len(nal) > MAX_HEADER_BYTES:
            raise BitstreamError(f"a parameter set of {len(nal)} bytes")
        if self._codec == "avc":
            kind = nal[0] & 0x1F
            if kind == 7:
                return "sps", avc.parse_sps(nal.rstrip(b"\0")).set_id
            return ("pps", avc.parse_pps_ids(nal)[0]) if kind == 8 else None
        kind = nal[0] >> 1 & 0x3F
        if kind == 32:
            if len(nal) < 3:
                raise BitstreamError("a video parameter set is cut short")
            return "vps", nal[2] >> 4
        if kind == 33:
            return "sps", hevc.parse_sps(nal.rstrip(b"\0")).set_id
        return ("pps", hevc.parse_pps_ids(nal)[0]) if kind == 34 else None

    def _update_known(self) -> None:
        self.known = set(self.nals())
