"""A token bucket per client."""

import ipaddress
from collections import OrderedDict

_MAX_KEYS = 50_000


def network_of(address: str) -> str:
    """What is limited as one client: an IPv4 address, or the /64 that one IPv6 subscriber has all of."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped is not None:
        return str(ip if ip.version == 4 else ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


class RateLimit:
    """Token buckets by key; sans-IO, the caller passes monotonic time.

    Args:
        rate_per_s: how fast a bucket fills.
        burst: how much it holds.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        #: {key: (level, when)}, least recently used first; bounded, a forgotten bucket is a full one.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, now_s: float) -> float:
        """Seconds until ``key`` may take one; 0 when it may now. Takes nothing."""
        return max(0.0, (1.0 - self._level(key, now_s)) / self._rate_per_s)

    def take(self, key: str, now_s: float) -> float:
        """Take one if there is one. Returns 0, or the seconds to wait (and takes nothing)."""
        wait_s = self.wait_s(key, now_s)
        if wait_s == 0.0:
            self._buckets[key] = (self._level(key, now_s) - 1.0, now_s)
            self._buckets.move_to_end(key)
            if len(self._buckets) > _MAX_KEYS:
                self._buckets.popitem(last=False)
        return wait_s

    def _level(self, key: str, now_s: float) -> float:
        level, when_s = self._buckets.get(key, (self._burst, now_s))
        return min(self._burst, level + (now_s - when_s) * self._rate_per_s)
