"""What lies between a reader and a registry, and links that are often met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.backend import _link
from storage.backend._link import FOREVER, LinkState
from storage.errors import ConfigError

__all__ = ["LINKS", "Link", "new_link"]

_MS = 1_000_000
_LONG_AGO = -(1 << 62)


@dataclass(frozen=True)
class Link:
    """What lies between a reader and a registry.

    Attributes
    ----------
    rtt_ns
        Nanoseconds from a request to its first byte.
    bandwidth
        Bytes a second, shared by all transfers.
    connections
        Requests under way at once; more wait.
    jitter_ns
        Each request's first byte is later by up to this; or, of several numbers, as a distribution says whose
        quantiles, at equal steps from the least to the most, they are.
    seed
        Of all that is drawn, by the number of the request.
    connection_bandwidth
        Bytes a second that one connection may have; 0 for all.
    window
        Bytes that a new connection sends in its first round trip, doubled in each that follows (slow start; TCP has
        14,600); 0 for none such. A connection that was idle begins anew.
    requests_per_second
        Requests that may be sent in a second, evenly spaced; 0 for no limit.
    errors_ppm
        Of a million tries, how many are refused, each after a round trip.
    retries
        How often a request is sent again at once before it fails.
    """

    rtt_ns: int = 20_000_000
    bandwidth: int = 25_000_000
    connections: int = 8
    jitter_ns: int | Sequence[int] = 0
    seed: int = 0
    connection_bandwidth: int = 0
    window: int = 0
    requests_per_second: int = 0
    errors_ppm: int = 0
    retries: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.jitter_ns, int):
            object.__setattr__(self, "jitter_ns", tuple(self.jitter_ns))
        if self.rtt_ns < 0 or list(self.late) != sorted(self.late) or self.late[0] < 0:
            raise ConfigError("a round trip cannot take less than no time, nor quantiles fall", field="rtt_ns")
        if not 0 < self.connections <= self.bandwidth:
            raise ConfigError("a link needs a connection, and a byte a second for each", field="connections")
        for name in ("connection_bandwidth", "window", "requests_per_second", "retries"):
            if getattr(self, name) < 0:
                raise ConfigError("cannot be negative", field=name)
        if not 0 <= self.errors_ppm <= 1_000_000:
            raise ConfigError("so many of a million cannot fail", field="errors_ppm")

    @property
    def late(self) -> tuple[int, ...]:
        """Quantiles of what is added to a round trip, at equal steps."""
        return (0, self.jitter_ns) if isinstance(self.jitter_ns, int) else tuple(self.jitter_ns) or (0,)


def new_link(link: Link) -> LinkState:
    """The link, idle."""

    def column(fill: int) -> np.ndarray:
        return np.full(link.connections, fill, np.int64)

    clock = np.zeros(_link.ENTRIES, np.int64)
    clock[_link.RATE] = link.bandwidth
    clock[_link.CAP] = min(link.connection_bandwidth or link.bandwidth, link.bandwidth)
    clock[_link.WINDOW], clock[_link.RTT], clock[_link.SEED] = link.window, link.rtt_ns, link.seed
    clock[_link.SPACING] = 1_000_000_000 // link.requests_per_second if link.requests_per_second else 0
    clock[_link.ERRORS], clock[_link.RETRIES] = link.errors_ppm, link.retries
    late = np.array(link.late, np.int64)
    return LinkState(column(0), column(0), column(0), column(FOREVER), column(_LONG_AGO), clock, late)


LINKS = {
    "lan": Link(rtt_ns=_MS // 2, bandwidth=125_000_000, connections=32, jitter_ns=_MS // 10),
    "registry-20ms": Link(),
    "5ms-200Mbit": Link(rtt_ns=5 * _MS),
    # First bytes as a bucket gives them; a connection's share and requests a second of one prefix as AWS states them
    # ("Best practices design patterns: optimizing Amazon S3 performance").
    "s3": Link(
        rtt_ns=15 * _MS, bandwidth=1_250_000_000, connections=64, connection_bandwidth=90_000_000,
        jitter_ns=(0, 5 * _MS, 10 * _MS, 15 * _MS, 25 * _MS, 135 * _MS), window=14_600, requests_per_second=5_500,
    ),
    "wan": Link(rtt_ns=80 * _MS, bandwidth=12_500_000, jitter_ns=10 * _MS, window=14_600),
    "4g": Link(
        rtt_ns=50 * _MS, bandwidth=3_750_000, window=14_600, errors_ppm=1_000,
        jitter_ns=(0, 10 * _MS, 20 * _MS, 40 * _MS, 200 * _MS),
    ),
}  # fmt: skip
"""Links by name."""
