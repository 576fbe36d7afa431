"""The values of AMF0 and AMF3 messages."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


class Undefined(enum.Enum):
    """The type of :data:`UNDEFINED`, the value of AMF0's type undefined."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


class EcmaArray(dict[str, "AmfValue"]):
    """A dict that is written as an ECMA (associative) array; onMetaData usually contains one."""


@dataclass(frozen=True, slots=True)
class Date:
    """A point in time: milliseconds since 1970, UTC. The zone (minutes) is reserved and normally 0."""

    unix_ms: float
    zone_min: int = 0


@dataclass(frozen=True, slots=True)
class TypedObject:
    """An object with a class name."""

    class_name: str
    members: dict[str, "AmfValue"]


AmfValue = float | bool | str | None | Undefined | Date | TypedObject | list["AmfValue"] | dict[str, "AmfValue"]
#: The values that can be encoded. They include ints and tuples, which are never decoded.
AmfInput = (
    int | float | bool | str | None | Undefined | Date | TypedObject | Sequence["AmfInput"] | Mapping[str, "AmfInput"]
)
