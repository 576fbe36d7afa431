"""Reads AMF3 values, which Flash-based encoders put into metadata (Adobe "AMF 3", 2013).

==================  =====================================================================
marker              decoded to
==================  =====================================================================
00 undefined        :data:`UNDEFINED`
01 null             None
02, 03 false, true  bool
04, 05 int, double  float
06, 07, 0B string   str (07, 0B: XML)
08 date             :class:`Date`
09 array            list; a dict if it has named members (then the others are left out)
0A object           dict; a class name is left out
0C byte array       :data:`UNDEFINED`: OBS sends its VOD track in them, and nobody reads it
==================  =====================================================================

Vectors (0D to 10), dictionaries (11) and externalizable objects (a class defines their bytes) are refused. A reference
to an earlier object is :data:`UNDEFINED`, so that no value contains itself.
"""

import struct
from typing import Final, Protocol

from airnode.media.rtmp.amf_values import UNDEFINED, AmfValue, Date
from airnode.media.rtmp.errors import ProtocolViolation

_DOUBLE = struct.Struct(">d")
_MAX_MEMBERS: Final = 256


class Input(Protocol):
    """The bytes that both readers of one message share, and its limits.

    Attributes:
        open_object: the outermost object that is being read.
    """

    open_object: dict[str, AmfValue] | None

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        ...

    def count_value(self) -> None:
        """Count one value against the limit of the message."""
        ...

    def enter(self, depth: int) -> int:
        """Return the depth inside an object or array at ``depth``."""
        ...


class Amf3Reader:
    """Reads the AMF3 values of one message, which share one table of strings and one table of traits."""

    def __init__(self, source: Input) -> None:
        self._in = source
        self._strings: list[str] = []
        #: Names of the members of each class, and whether an object may have more of them.
        self._traits: list[tuple[list[str], bool]] = []

    def value(self, depth: int) -> AmfValue:
        """Return the next value.

        Raises:
            ProtocolViolation: as :func:`airnode.media.rtmp.amf0.decode`.
        """
        self._in.count_value()
        marker = self._in.take(1)[0]
        if marker == 0x00:
            return UNDEFINED
        if marker == 0x01:
            return None
        if marker in (0x02, 0x03):
            return marker == 0x03
        if marker == 0x04:
            number = self._u29()
            return float(number - (1 << 29) if number >= 1 << 28 else number)
        if marker == 0x05:
            return float(_DOUBLE.unpack(self._in.take(8))[0])
        if marker == 0x06:
            return self._string()
        return self._by_reference(marker, depth)

    def _by_reference(self, marker: int, depth: int) -> AmfValue:
        """Return a value of a type that can also be a reference to an earlier one."""
        if not 0x07 <= marker <= 0x0C:
            raise ProtocolViolation("amf_type", f"AMF3 type 0x{marker:02x} is not allowed")
        header = self._u29()
        if not header & 1:
            return UNDEFINED
        if marker in (0x07, 0x0B):
            return self._in.take(header >> 1).decode("utf-8", "replace")
        if marker == 0x08:
            return Date(float(_DOUBLE.unpack(self._in.take(8))[0]))
        if marker == 0x0C:
            self._in.take(header >> 1)
            return UNDEFINED
        inside = self._in.enter(depth)
        return self._array(header >> 1, inside) if marker == 0x09 else self._object(header, inside)

    def _array(self, size: int, depth: int) -> AmfValue:
        named = self._named_members({}, depth)
        values = [self.value(depth) for _ in range(size)]
        return named or values

    def _object(self, header: int, depth: int) -> dict[str, AmfValue]:
        names, is_dynamic = self._class(header)
        members: dict[str, AmfValue] = {}
        if self._in.open_object is None:
            self._in.open_object = members
        for name in names:
            members[name] = self.value(depth)
        return self._named_members(members, depth) if is_dynamic else members

    def _class(self, header: int) -> tuple[list[str], bool]:
        """Return the traits of an object: (names of its members, whether more members follow)."""
        if not header & 2:
            index = header >> 2
            if index >= len(self._traits):
                raise ProtocolViolation("amf_object", "an AMF3 object refers to a class that did not come")
            return self._traits[index]
        if header & 4:
            raise ProtocolViolation("amf_object", "an AMF3 object writes itself")
        self._string()  # the class's name
        if header >> 4 > _MAX_MEMBERS:
            raise ProtocolViolation("amf_items", "an AMF3 class has too many members")
        traits = [self._string() for _ in range(header >> 4)], bool(header & 8)
        self._traits.append(traits)
        return traits

    def _named_members(self, into: dict[str, AmfValue], depth: int) -> dict[str, AmfValue]:
        while name := self._string():
            into[name] = self.value(depth)
        return into

    def _string(self) -> str:
        header = self._u29()
        if not header & 1:
            index = header >> 1
            if index >= len(self._strings):
                raise ProtocolViolation("amf_object", "an AMF3 value refers to a string that did not come")
            return self._strings[index]
        text = self._in.take(header >> 1).decode("utf-8", "replace")
        if text:
            self._strings.append(text)
        return text

    def _u29(self) -> int:
        """Return a number of 1 to 4 bytes: 7 bits a byte, 8 in the fourth."""
        number = 0
        for _ in range(3):
            byte = self._in.take(1)[0]
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._in.take(1)[0]
