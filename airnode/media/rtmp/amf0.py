"""AMF0, the value format of RTMP commands and metadata (Adobe "Action Message Format -- AMF 0", 2007).

================  ==========================  ==========================
marker            decoded to                  encoded from
================  ==========================  ==========================
00 number         float                       int, float
01 boolean        bool                        bool
02, 0C string     str                         str (0C above 65,535 bytes)
03 object         dict                        dict
05 null           None                        None
06 undefined      :data:`UNDEFINED`           :data:`UNDEFINED`
08 ECMA array     :class:`EcmaArray`          :class:`EcmaArray`
0A strict array   list                        list, tuple
0B date           :class:`Date`               :class:`Date`
0D unsupported    :data:`UNDEFINED`           never
0F XML document   str                         never
10 typed object   :class:`TypedObject`        :class:`TypedObject`
07 reference      :data:`UNDEFINED`           never
11 AMF3           see ``amf3.py``             never
================  ==========================  ==========================

A reference is not followed: it makes cyclic values possible. The reserved markers (04, 0E) are refused.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

from airnode.media.rtmp.amf3 import Amf3Reader
from airnode.media.rtmp.amf_values import UNDEFINED, AmfInput, AmfValue, Date, EcmaArray, TypedObject, Undefined
from airnode.media.rtmp.errors import ProtocolViolation

_DOUBLE = struct.Struct(">d")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_DATE_TAIL = struct.Struct(">dh")

NUMBER, BOOLEAN, STRING, OBJECT = 0x00, 0x01, 0x02, 0x03
NULL, UNDEFINED_MARKER, REFERENCE, ECMA_ARRAY, OBJECT_END = 0x05, 0x06, 0x07, 0x08, 0x09
STRICT_ARRAY, DATE, LONG_STRING, UNSUPPORTED = 0x0A, 0x0B, 0x0C, 0x0D
XML_DOCUMENT, TYPED_OBJECT, AMF3 = 0x0F, 0x10, 0x11


def decode(data: bytes, *, max_depth: int = 16, max_items: int = 1024) -> list[AmfValue]:
    """Return all values of one message.

    Args:
        data: the message's payload.
        max_depth: deepest nesting of objects and arrays.
        max_items: most values, nested ones included, in the whole message.

    Raises:
        ProtocolViolation: ``amf_truncated``, ``amf_type``, ``amf_depth``, ``amf_items`` or ``amf_object``.
    """
    values, error = decode_readable(data, max_depth=max_depth, max_items=max_items)
    if error is not None:
        raise error
    return values


def decode_readable(
    data: bytes, *, max_depth: int = 16, max_items: int = 1024, is_amf3: bool = False
) -> tuple[list[AmfValue], ProtocolViolation | None]:
    """Return the values of one message up to the first error, and this error.

    An object that the error interrupts is the last value, with the members before the error. Arguments and errors are
    those of :func:`decode`; ``is_amf3``: the message has only AMF3 values, without the AMF0 marker that begins AMF3.
    """
    reader = _Reader(data, max_depth, max_items)
    read = Amf3Reader(reader).value if is_amf3 else reader.value
    values: list[AmfValue] = []
    try:
        while reader.pos < len(data):
            reader.open_object = None
            values.append(read(0))
    except ProtocolViolation as error:
        if reader.open_object is not None:
            values.append(reader.open_object)
        return values, error
    return values, None


class _Reader:
    """Reads the values of one message. Bytes that are not UTF-8 are replaced: some encoders send Latin-1."""

    def __init__(self, data: bytes, max_depth: int, max_items: int) -> None:
        self._data = data
        self._max_depth = max_depth
        self._items_left = max_items
        self._amf3: Amf3Reader | None = None
        self.pos = 0
        #: The outermost object that is being read.
        self.open_object: dict[str, AmfValue] | None = None

    def value(self, depth: int) -> AmfValue:
        self.count_value()
        marker = self.take(1)[0]
        if marker == NUMBER:
            return float(_DOUBLE.unpack(self.take(8))[0])
        if marker == BOOLEAN:
            return self.take(1)[0] != 0
        if marker == STRING:
            return self._text()
        if marker in (LONG_STRING, XML_DOCUMENT):
            return self._string(_U32.unpack(self.take(4))[0])
        if marker == NULL:
            return None
        if marker in (UNDEFINED_MARKER, UNSUPPORTED):
            return UNDEFINED
        if marker == REFERENCE:
            self.take(2)
            return UNDEFINED
        if marker == DATE:
            return Date(*_DATE_TAIL.unpack(self.take(10)))
        if marker == AMF3:
            self._amf3 = self._amf3 or Amf3Reader(self)
            return self._amf3.value(depth)
        return self._composite(marker, self.enter(depth))

    def _composite(self, marker: int, depth: int) -> AmfValue:
        if marker == OBJECT:
            return self._members({}, depth)
        if marker == ECMA_ARRAY:
            # The count is only a hint, and wrong in some encoders; the end marker decides.
            self.take(4)
            return self._members(EcmaArray(), depth)
        if marker == TYPED_OBJECT:
            return TypedObject(self._text(), self._members({}, depth))
        if marker == STRICT_ARRAY:
            count = _U32.unpack(self.take(4))[0]
            if count > self._items_left:
                raise ProtocolViolation("amf_items", f"an AMF0 array claims {count} elements")
            return [self.value(depth) for _ in range(count)]
        raise ProtocolViolation("amf_type", f"AMF0 type 0x{marker:02x} is not allowed")

    def enter(self, depth: int) -> int:
        """Return the depth inside an object or array at ``depth``."""
        if depth >= self._max_depth:
            raise ProtocolViolation("amf_depth", "an AMF value is nested too deeply")
        return depth + 1

    def count_value(self) -> None:
        """Count one value against the limit of the message."""
        self._items_left -= 1
        if self._items_left < 0:
            raise ProtocolViolation("amf_items", "an AMF message has too many values")

    def _members(self, into: dict[str, AmfValue], depth: int) -> dict[str, AmfValue]:
        if self.open_object is None:
            self.open_object = into
        while True:
            name = self._text()
            if not name and self.pos < len(self._data) and self._data[self.pos] == OBJECT_END:
                self.pos += 1
                return into
            into[name] = self.value(depth)

    def _text(self) -> str:
        return self._string(_U16.unpack(self.take(2))[0])

    def _string(self, size: int) -> str:
        return self.take(size).decode("utf-8", "replace")

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        start, end = self.pos, self.pos + size
        if end > len(self._data):
            raise ProtocolViolation("amf_truncated", "an AMF value ends early")
        self.pos = end
        return self._data[start:end]


def encode(values: Iterable[AmfInput]) -> bytes:
    """Return the payload of a message with these values.

    Raises:
        TypeError: a value has no AMF0 form.
    """
    out = bytearray()
    for value in values:
        _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: AmfInput) -> None:
    if isinstance(value, bool):
        out += bytes((BOOLEAN, value))
    elif isinstance(value, int | float):
        out.append(NUMBER)
        out += _DOUBLE.pack(value)
    elif isinstance(value, str):
        _write_string(out, value)
    elif value is None:
        out.append(NULL)
    elif isinstance(value, Undefined):
        out.append(UNDEFINED_MARKER)
    elif isinstance(value, Date):
        out.append(DATE)
        out += _DATE_TAIL.pack(value.unix_ms, value.zone_min)
    else:
        _write_composite(out, value)


def _write_composite(out: bytearray, value: TypedObject | Sequence[AmfInput] | Mapping[str, AmfInput]) -> None:
    if isinstance(value, TypedObject):
        out.append(TYPED_OBJECT)
        _write_text(out, value.class_name)
        _write_members(out, value.members)
    elif isinstance(value, EcmaArray):
        out.append(ECMA_ARRAY)
        out += _U32.pack(len(value))
        _write_members(out, value)
    elif isinstance(value, Mapping):
        out.append(OBJECT)
        _write_members(out, value)
    elif isinstance(value, list | tuple):
        out.append(STRICT_ARRAY)
        out += _U32.pack(len(value))
        for element in value:
            _write(out, element)
    else:
        raise TypeError(f"{type(value).__name__} has no AMF0 form")


def _write_members(out: bytearray, members: Mapping[str, AmfInput]) -> None:
    for name, value in members.items():
        _write_text(out, name)
        _write(out, value)
    out += b"\x00\x00\x09"


def _write_string(out: bytearray, text: str) -> None:
    raw = text.encode("utf-8", "replace")
    if len(raw) > 0xFFFF:
        out.append(LONG_STRING)
        out += _U32.pack(len(raw))
    else:
        out.append(STRING)
        out += _U16.pack(len(raw))
    out += raw


def _write_text(out: bytearray, text: str) -> None:
    raw = text.encode("utf-8", "replace")
    if len(raw) > 0xFFFF:
        raise TypeError("an AMF0 name is at most 65,535 bytes long")
    out += _U16.pack(len(raw)) + raw
