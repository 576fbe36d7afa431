"""Limits per client for requests and for wrong secrets. Token buckets."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from airnode.errors import RateLimited

_MAX_KEYS = 50_000


def network_of(address: str) -> str:
    """Return the network that is limited as one client: an IPv4 address, or the /64 of an IPv6 subscriber."""
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
        rate_per_s: tokens that a bucket gains per second.
        burst: capacity of a bucket.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        #: {key: (level, when)}, least recently used first; bounded; a bucket that was dropped counts as full.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, now_s: float) -> float:
        """Return the seconds until ``key`` may take one, 0 if it may now; takes nothing."""
        return max(0.0, (1.0 - self._level(key, now_s)) / self._rate_per_s)

    def take(self, key: str, now_s: float) -> float:
        """Return 0 and take one if there is one; else return the seconds to wait, and take nothing."""
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


class AttemptLimit:
    """Limits wrong secrets, codes or keys per network, and optionally all requests.

    Args:
        wrong: limit of wrong ones. requests: limit of all requests; None: there is none.
        message: the sentence of the 429.
        on_refused: called with the reason of each refusal, ``rate`` for the 429.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        wrong: RateLimit,
        *,
        message: str,
        requests: RateLimit | None = None,
        on_refused: Callable[[str], None] = lambda reason: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wrong = wrong
        self._requests = requests
        self._message = message
        self._on_refused = on_refused
        self._clock = clock

    def check(self, address: str) -> None:
        """Count one request from ``address``.

        Raises:
            RateLimited: (429) too many requests, or too many wrong ones before it.
        """
        now_s, network = self._clock(), network_of(address)
        wait_s = self._requests.take(network, now_s) if self._requests is not None else 0.0
        wait_s = wait_s or self._wrong.wait_s(network, now_s)
        if wait_s > 0:
            self._on_refused("rate")
            raise RateLimited(self._message, retry_after_s=wait_s)

    def count_wrong(self, address: str, reason: str) -> None:
        """Count a wrong secret, code or key from ``address``."""
        self._wrong.take(network_of(address), self._clock())
        self._on_refused(reason)

    def count_refused(self, reason: str) -> None:
        """Count a refusal that says nothing against the network it came from."""
        self._on_refused(reason)
