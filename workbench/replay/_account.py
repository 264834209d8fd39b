"""What is counted and, when recording, logged. Numba's subset."""

from __future__ import annotations

from storage.events import Cause as _Cause
from storage.events import Kind as _Kind
from storage.events import Outcome as _Outcome
from storage.plan import PREFETCH, READY, STORING, Reg, payer
from workbench.replay._world import Count, Log, Request, World

__all__ = [
    "asked_by",
    "count_arrival",
    "count_evicted",
    "count_fetched",
    "count_read",
    "count_refused",
    "count_served",
    "count_wait",
    "cut_warm_up",
    "log_work",
]

# Numba knows integers; enumerations it would have to be taught.
_READ, _HIT, _WAIT, _FETCH, _REQUEST = (
    int(_Kind.READ), int(_Kind.HIT), int(_Kind.WAIT), int(_Kind.FETCH), int(_Kind.REQUEST)
)  # fmt: skip
_DECODE, _PERSIST, _EVICT = int(_Kind.DECODE), int(_Kind.PERSIST), int(_Kind.EVICT)
_DEMAND, _AMPLIFY, _GAP = int(_Cause.DEMAND), int(_Cause.AMPLIFY), int(_Cause.GAP)
_REFETCH, _AHEAD = int(_Cause.REFETCH), int(_Cause.PREFETCH)
_DROPPED, _ERROR = int(_Outcome.DROPPED), int(_Outcome.ERROR)


def _log(
    world: World,
    kind: int,
    cause: int,
    actor: int,
    t: int,
    dur: int,
    ttfb: int,
    read: int,
    fetch: int,
    chunk: int,
    chunks: int,
    offset: int,
    length: int,
    user: int,
    outcome: int,
) -> int:
    """Write a row; returns its number, -1 when not recording."""
    if world.model.recording == 0:
        return -1
    number = world.count[Count.LOGGED]
    world.count[Count.LOGGED] = number + 1
    row = world.out.log[number]
    row[Log.SEQ], row[Log.T], row[Log.DUR], row[Log.TTFB] = number, t, dur, ttfb
    row[Log.KIND], row[Log.CAUSE], row[Log.OUTCOME] = kind, cause, outcome
    row[Log.READ], row[Log.FETCH], row[Log.WORKER] = read, fetch, actor
    row[Log.BLOB], row[Log.CHUNK], row[Log.CHUNKS] = -1, chunk, chunks
    if chunk >= 0:
        row[Log.BLOB] = world.layout.blob[chunk]
    row[Log.OFFSET], row[Log.LENGTH], row[Log.USER] = offset, length, user
    return int(number)


def _reader(world: World, actor: int) -> int:
    """The read on whose behalf an actor acts; -1 for a prefetch."""
    if world.actors.reg[actor, Reg.KIND] == PREFETCH:
        return -1
    return int(world.actors.job[actor])


def asked_by(world: World, read: int) -> int:
    """Bytes that a read asks for."""
    size = 0
    for pos in range(world.trace.first[read], world.trace.first[read + 1]):
        size += world.segments.length[pos]
    return int(size)


def cut_warm_up(world: World, t: int) -> None:
    """What was counted so far does not count."""
    world.count[Count.CUT] = t
    world.count[Count.CUT_REQUEST] = world.count[Count.REQUESTS]
    for entry in range(Count.HIT, len(world.count)):
        world.count[entry] = 0


def count_read(world: World, actor: int, read: int, outcome: int) -> None:
    """A user read ended."""
    out = world.out
    _log(
        world,
        _READ,
        0,
        actor,
        world.actors.began[actor],
        out.dur[read],
        0,
        read,
        -1,
        -1,
        0,
        0,
        0,
        asked_by(world, read) if outcome == 0 else 0,
        outcome,
    )


def count_served(world: World, actor: int, t: int, cost: int) -> None:
    """Segments are served from the cache: delayed hits where they were waited for, else hits."""
    reg, segments, read = world.actors.reg[actor], world.segments, world.actors.job[actor]
    hit = 0
    for pos in range(reg[Reg.POS], reg[Reg.SPAN]):
        if world.unread[segments.chunk[pos]] != 0:
            world.count[Count.USED] += 1
            world.unread[segments.chunk[pos]] = 0
        if world.out.waited[pos] == 0:
            hit += segments.length[pos]
        else:
            world.count[Count.WAITED] += segments.length[pos]
            _give_to_wait(world, read, segments.chunk[pos], segments.length[pos])
    world.count[Count.HIT] += hit
    if hit > 0:
        world.count[Count.HITS] += 1
        chunks = reg[Reg.SPAN] - reg[Reg.POS]
        _log(world, _HIT, 0, actor, t, cost, 0, read, -1, segments.chunk[reg[Reg.POS]], chunks, 0, 0, hit, 0)


def _give_to_wait(world: World, read: int, chunk: int, length: int) -> None:
    """Note bytes in the row of the wait that they were waited for in; it was logged a moment ago."""
    number = world.count[Count.LOGGED] - 1
    while number >= 0:
        row = world.out.log[number]
        if row[Log.KIND] == _WAIT and row[Log.READ] == read and row[Log.CHUNK] == chunk:
            row[Log.USER] = length
            return
        number -= 1


def count_wait(world: World, actor: int, t: int) -> None:
    """A wait is over."""
    since, read = world.actors.since[actor], world.actors.job[actor]
    world.out.wait[read] += t - since
    world.count[Count.WAITS] += 1
    world.count[Count.LATE] += world.actors.late[actor]
    world.count[Count.LATE_NS] += world.actors.late[actor] * (t - since)
    _log(world, _WAIT, 0, actor, since, t - since, 0, read, -1, world.actors.reg[actor, Reg.WANTED], 1, 0, 0, 0, 0)


def count_arrival(world: World, actor: int, t: int) -> None:
    """The last byte of a request came; nothing is admitted yet."""
    reg, out = world.actors.reg[actor], world.out
    _end_request(world, actor, t, 0)
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        status = world.state.status[chunk]
        out.fresh[chunk] = 1 if status in (READY, STORING) else 0


def count_refused(world: World, actor: int, t: int) -> None:
    """A request failed for good."""
    world.out.requests[world.actors.fetch[actor], Request.FAILED] = 1
    _end_request(world, actor, t, _ERROR)


def _end_request(world: World, actor: int, t: int, outcome: int) -> None:
    actors, out = world.actors, world.out
    reg, read, fetch = actors.reg[actor], _reader(world, actor), actors.fetch[actor]
    since, byte = actors.since[actor], actors.byte[actor]
    row = out.requests[fetch]
    row[Request.DUR], row[Request.TTFB] = t - since, byte - since
    received = row[Request.LENGTH] if outcome == 0 else 0
    number = _log(
        world, _REQUEST, 0, actor, since, t - since, byte - since, read, fetch,
        reg[Reg.FIRST], 0, row[Request.OFFSET], received, 0, outcome,
    )  # fmt: skip
    if number >= 0:
        out.log[number, Log.CHUNK] = -1


def count_fetched(world: World, actor: int) -> int:
    """A request's chunks were admitted or dropped. Returns the bytes to decode."""
    actors, layout, out, segments = world.actors, world.layout, world.out, world.segments
    reg, read, fetch = actors.reg[actor], _reader(world, actor), actors.fetch[actor]
    row, since = out.requests[fetch], actors.since[actor]
    pos, start, decoded = reg[Reg.POS], layout.start[reg[Reg.FIRST]], 0
    expected = start
    unit = paying = -1
    for chunk in range(reg[Reg.FIRST], reg[Reg.LAST] + 1):
        listed = pos < reg[Reg.SPAN] and segments.chunk[pos] == chunk
        if reg[Reg.LISTED] != 0 and not listed:
            continue  # part of a gap
        if layout.unit[chunk] != unit:
            unit, paying = layout.unit[chunk], payer(layout, segments, reg, out.fresh, chunk)
            gap = layout.start[chunk] - expected
            if gap > 0:
                row[Request.GAP] += gap
                number = _log(world, _FETCH, _GAP, actor, since, 0, 0, read, fetch, chunk, 0, expected, gap, 0, 0)
                if number >= 0:
                    out.log[number, Log.CHUNK] = -1
            start = max(layout.start[chunk], expected)  # pieces of a gzip stream overlap
            expected = max(layout.end[chunk], expected)
        length = expected - start if chunk == paying else 0
        wanted = listed and segments.offset[pos] >= 0
        given = 0
        if listed:
            if read >= 0:
                given = segments.length[pos]
            pos += 1
        admitted = world.state.status[chunk] == STORING and world.state.owner[chunk] == reg[Reg.TICKET]
        dropped = not admitted and out.fresh[chunk] == 0
        cause = _cause(read, wanted, out.fresh[chunk])
        row[_column(cause)] += length
        if cause == _AHEAD:
            world.count[Count.PREFETCHED] += 1
            if admitted:
                world.unread[chunk] = length
            else:
                world.count[Count.WASTED] += length
        if wanted or admitted:
            decoded += layout.size[chunk]
        outcome = _DROPPED if dropped else 0
        _log(world, _FETCH, cause, actor, since, 0, 0, read, fetch, chunk, 1, start, length, given, outcome)
        world.count[Count.FETCHED] += given
    world.count[Count.CHUNKS] += reg[Reg.LAST] + 1 - reg[Reg.FIRST]
    world.count[Count.DECODED] += decoded
    return int(decoded)


def _cause(read: int, wanted: bool, fresh: int) -> int:
    if read < 0:
        return _AHEAD
    if fresh != 0:
        return _REFETCH
    return _DEMAND if wanted else _AMPLIFY


def _column(cause: int) -> int:
    if cause == _DEMAND:
        return Request.DEMAND
    if cause == _AMPLIFY:
        return Request.AMPLIFY
    return Request.REFETCH if cause == _REFETCH else Request.PREFETCH


def log_work(world: World, actor: int, t: int, spent: int, decoded: int) -> None:
    """Decoding of a request's chunks; storing them is part of it."""
    reg, read, fetch = world.actors.reg[actor], _reader(world, actor), world.actors.fetch[actor]
    first, chunks = reg[Reg.FIRST], reg[Reg.LAST] + 1 - reg[Reg.FIRST]
    _log(world, _DECODE, 0, actor, t, spent, 0, read, fetch, first, chunks, 0, decoded, 0, 0)
    _log(world, _PERSIST, 0, actor, t + spent, 0, 0, read, fetch, first, chunks, 0, decoded, 0, 0)


def count_evicted(world: World, actor: int, t: int, chunk: int) -> None:
    """A chunk made room."""
    size = world.layout.size[chunk]
    world.count[Count.EVICTIONS] += 1
    world.count[Count.EVICTED] += size
    world.count[Count.WASTED] += world.unread[chunk]
    world.unread[chunk] = 0
    _log(world, _EVICT, 0, actor, t, 0, 0, -1, -1, chunk, 1, 0, size, 0, 0)
