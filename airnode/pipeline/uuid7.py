"""UUIDs that sort by time (RFC 9562, section 5.7)."""

import secrets
import uuid

_VERSION, _VARIANT = 0x7 << 76, 0b10 << 62


def uuid7(unix_ms: int, random_bits: int | None = None) -> uuid.UUID:
    """Return a UUID version 7: 48 bits of milliseconds since 1970, then 74 random bits.

    Args:
        random_bits: replaces the random bits; only the lowest 74 are used.

    Raises:
        ValueError: the time is before 1970 or after the year 10889.
    """
    if not 0 <= unix_ms < 1 << 48:
        raise ValueError(f"{unix_ms} ms does not fit into a UUID version 7")
    bits = secrets.randbits(74) if random_bits is None else random_bits
    rand_a, rand_b = (bits >> 62) & 0xFFF, bits & ((1 << 62) - 1)
    return uuid.UUID(int=unix_ms << 80 | _VERSION | rand_a << 64 | _VARIANT | rand_b)
