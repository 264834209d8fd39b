"""A link between a reader and a registry: round trips, and bandwidth shared fairly.

Pure integer arithmetic in numba's subset: the live `ShapedBackend` runs it on the wall clock
under a lock, the replay engine on its virtual clock. A request waits for one of the link's
connections, then a round trip for its first byte, then its bytes flow together with
everybody else's.

Times are nanoseconds. Bytes are counted in billionths, so that a bandwidth in bytes a second
is also billionths of a byte a nanosecond; each flow gets an equal integer share of those, and
the flow of the lowest slot what is left over. A transfer may be up to 9 GB long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["FOREVER", "LinkState", "carry_to", "flow_begin", "flow_done", "jitter_of", "new_link", "next_end"]

FOREVER = (1 << 63) - 1
_PER_BYTE = 1_000_000_000
_MODULUS = (1 << 31) - 1

NOW = 0  # entries of `LinkState.clock`
RATE = 1
ACTIVE = 2


class LinkState(NamedTuple):
    """The flows on a link; a slot is one connection.

    Attributes
    ----------
    left : (connections,) int64
        Billionths of bytes that the slot's transfer still has to carry; 0 when it is through.
    clock : (3,) int64
        The time up to which `left` is worked out, the rate in bytes/s, the count of flows.
    """

    left: Any
    clock: Any


def new_link(connections: int, bandwidth: int) -> LinkState:
    """An idle link of `bandwidth` bytes/s."""
    return LinkState(np.zeros(connections, np.int64), np.array([0, bandwidth, 0], np.int64))


def flow_begin(link: LinkState, now: int, slot: int, length: int) -> None:
    """The first byte of a transfer of `length` bytes is ready to be sent at `now`."""
    carry_to(link, now)
    link.left[slot] = length * _PER_BYTE
    if length > 0:
        link.clock[ACTIVE] += 1


def flow_done(link: LinkState, now: int, slot: int) -> bool:
    """Whether the last byte of the slot's transfer is through at `now`."""
    carry_to(link, now)
    return bool(link.left[slot] == 0)


def next_end(link: LinkState) -> int:
    """When the first of the present transfers ends if none begins before; FOREVER when idle."""
    if link.clock[ACTIVE] == 0:
        return FOREVER
    end = FOREVER
    share = link.clock[RATE] // link.clock[ACTIVE]
    rate = share + link.clock[RATE] % link.clock[ACTIVE]  # the lowest slot's
    for slot in range(len(link.left)):
        left = link.left[slot]
        if left > 0:
            end = min(end, link.clock[NOW] + (left + rate - 1) // rate)
            rate = share
    return end


def carry_to(link: LinkState, now: int) -> None:
    """Carry every transfer forward to `now`; whoever ends on the way leaves its share to the others."""
    while link.clock[NOW] < now:
        if link.clock[ACTIVE] == 0:
            link.clock[NOW] = now
        else:
            _carry(link, min(now, next_end(link)))


def _carry(link: LinkState, until: int) -> None:
    """Carry forward over a time in which the set of flows does not change."""
    span = until - link.clock[NOW]
    share = link.clock[RATE] // link.clock[ACTIVE]
    rate = share + link.clock[RATE] % link.clock[ACTIVE]
    for slot in range(len(link.left)):
        if link.left[slot] > 0:
            link.left[slot] = max(link.left[slot] - span * rate, 0)
            rate = share
            if link.left[slot] == 0:
                link.clock[ACTIVE] -= 1
    link.clock[NOW] = until


def jitter_of(seed: int, request: int, jitter: int) -> int:
    """A number in [0, jitter) that depends on nothing but `seed` and `request`.

    Rounds of the minimal standard generator (Park and Miller 1988), whose products fit int64.
    """
    if jitter <= 0:
        return 0
    number = seed % _MODULUS
    for word in (request % _MODULUS, request // _MODULUS, 1):
        number = (number * 48271 + word + 11) % _MODULUS
        number = (number ^ (number >> 15)) * 48271 % _MODULUS
    return number % jitter
