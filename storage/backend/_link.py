"""A link between a reader and a registry: round trips, and bandwidth shared fairly.

Pure integer arithmetic in numba's subset: the live `ShapedBackend` runs it on the wall clock
under a lock, the replay engine on its virtual clock. A request waits for one of the link's
connections and for its turn where requests a second are limited; then a round trip for its first
byte, one more for each try that failed; then its bytes flow together with everybody else's.

Times are nanoseconds. Bytes are counted in billionths, so that a bandwidth in bytes a second
is also billionths of a byte a nanosecond. Flows share max-min fairly in whole bytes a second:
who may not take an equal share leaves the rest to the others, and the flow of the lowest slot
has what is left over. A transfer may be up to 9 GB long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from storage.backend._draws import draw, quantile_of, tries_of

__all__ = ["FOREVER", "LinkState", "carry_to", "flow_begin", "flow_done", "next_change", "send", "tries_of_next"]

FOREVER = (1 << 63) - 1
_PER_BYTE = 1_000_000_000

# A connection that was idle for longer starts slowly again (RFC 5681 section 4.1, RFC 6298).
_RESTART_NS = 200_000_000

NOW = 0  # entries of `LinkState.clock`: the time up to which `left` is worked out
RATE = 1  # bytes/s in all
ACTIVE = 2  # flows
CAP = 3  # bytes/s of one connection
WINDOW = 4  # bytes that a new connection sends in its first round trip; 0 for no slow start
RTT = 5
NEXT = 6  # when the next request may be sent
SPACING = 7  # nanoseconds between two
SEED = 8
ERRORS = 9  # of a million tries
RETRIES = 10
SENT = 11  # requests so far
ENTRIES = 12


class LinkState(NamedTuple):
    """The flows on a link; a slot is one connection.

    Attributes
    ----------
    left : (connections,) int64
        Billionths of bytes that the slot's transfer still has to carry; 0 when it is through.
    rate, limit : (connections,) int64
        Bytes/s that it has, and that it may have at present.
    grow : (connections,) int64
        When the limit doubles.
    idle : (connections,) int64
        When its last transfer ended.
    clock : (ENTRIES,) int64
    late : (quantiles,) int64
        Nanoseconds by which a first byte is later than a round trip: quantiles at equal steps.
    """

    left: Any
    rate: Any
    limit: Any
    grow: Any
    idle: Any
    clock: Any
    late: Any


def tries_of_next(link: LinkState) -> int:
    """How often the next request will have to be sent; negative if it fails for good."""
    clock = link.clock
    return tries_of(clock[SEED], clock[SENT], clock[ERRORS], clock[RETRIES])


def send(link: LinkState, now: int) -> int:
    """Send a request; returns when its first byte, or its last refusal, is here."""
    clock = link.clock
    number, tries = clock[SENT], abs(tries_of_next(link))
    clock[SENT] = number + 1
    at = max(now, clock[NEXT])
    clock[NEXT] = at + clock[SPACING]
    for attempt in range(tries):
        late = link.late[0]
        if late != link.late[len(link.late) - 1]:
            late = quantile_of(link.late, draw(clock[SEED], number, 2 * attempt + 1))
        at += clock[RTT] + late
    return int(at)


def flow_begin(link: LinkState, now: int, slot: int, length: int) -> None:
    """The first byte of a transfer of `length` bytes is ready to be sent at `now`."""
    carry_to(link, now)
    link.left[slot] = length * _PER_BYTE
    if length > 0:
        link.clock[ACTIVE] += 1
        _open_window(link, now, slot)
        _share(link)


def _open_window(link: LinkState, now: int, slot: int) -> None:
    clock = link.clock
    if clock[WINDOW] == 0 or clock[RTT] == 0:
        link.limit[slot] = clock[CAP]
        return
    if now - link.idle[slot] > _RESTART_NS + clock[RTT]:
        link.limit[slot] = min(max(clock[WINDOW] * _PER_BYTE // clock[RTT], 1), clock[CAP])
    link.grow[slot] = now + clock[RTT] if link.limit[slot] < clock[CAP] else FOREVER


def flow_done(link: LinkState, now: int, slot: int) -> bool:
    """Whether the last byte of the slot's transfer is through at `now`."""
    carry_to(link, now)
    return bool(link.left[slot] == 0)


def next_change(link: LinkState) -> int:
    """When the first of the present transfers ends, or has more, if none begins before; FOREVER when idle."""
    if link.clock[ACTIVE] == 0:
        return FOREVER
    at = FOREVER
    for slot in range(len(link.left)):
        left = link.left[slot]
        if left > 0:
            rate = link.rate[slot]
            at = min(at, link.clock[NOW] + (left + rate - 1) // rate, link.grow[slot])
    return int(at)


def carry_to(link: LinkState, now: int) -> None:
    """Carry every transfer forward to `now`; whoever ends on the way leaves its share to the others."""
    while link.clock[NOW] < now:
        if link.clock[ACTIVE] == 0:
            link.clock[NOW] = now
        else:
            _carry(link, min(now, next_change(link)))


def _carry(link: LinkState, until: int) -> None:
    """Carry forward over a time in which rates do not change."""
    span, changed = until - link.clock[NOW], False
    for slot in range(len(link.left)):
        if link.left[slot] > 0:
            link.left[slot] = max(link.left[slot] - span * link.rate[slot], 0)
            if link.left[slot] == 0:
                link.clock[ACTIVE] -= 1
                link.grow[slot] = FOREVER
                link.idle[slot] = until
                changed = True
            elif link.grow[slot] == until:
                link.limit[slot] = min(2 * link.limit[slot], link.clock[CAP])
                link.grow[slot] = until + link.clock[RTT] if link.limit[slot] < link.clock[CAP] else FOREVER
                changed = True
    link.clock[NOW] = until
    if changed:
        _share(link)


def _share(link: LinkState) -> None:
    """Share the bandwidth out: equally, but for those that may not have so much."""
    rest, flows = link.clock[RATE], link.clock[ACTIVE]
    for slot in range(len(link.left)):
        link.rate[slot] = 0
    settled = True
    while settled and flows > 0:
        settled, share = False, rest // flows
        for slot in range(len(link.left)):
            if link.left[slot] > 0 and link.rate[slot] == 0 and link.limit[slot] <= share:
                link.rate[slot] = link.limit[slot]
                rest -= link.limit[slot]
                flows -= 1
                settled = True
    for slot in range(len(link.left)):
        if link.left[slot] > 0 and link.rate[slot] == 0:
            link.rate[slot] = min(rest // flows + rest % flows, link.limit[slot])
            rest -= rest // flows + rest % flows
            flows -= 1
