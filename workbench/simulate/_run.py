"""Run an object trace through a cache without time, and count."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from storage.errors import ConfigError
from storage.plan import Policy
from workbench import policy
from workbench._bind import bind
from workbench.policy import EvictionPolicy, _belady
from workbench.simulate import _template
from workbench.simulate._objects import ObjectTrace
from workbench.simulate._serve import BYTES_MISSED, CAPACITY, COUNTERS, EVICTIONS, MISSES, REFUSED, begin, serve

__all__ = ["Outcome", "simulate"]


@dataclass(frozen=True)
class Outcome:
    """What a cache did for a trace.

    Attributes
    ----------
    requests, misses
        Counts.
    bytes, miss_bytes
        Bytes asked for, and those of them that were not in the cache.
    evictions
        Objects that made room.
    refused
        Misses that were not admitted: larger than the cache, or not worth it.
    bound
        Of Belady's order, and nothing else: whether these are the fewest misses that there can be.
    """

    eviction: str
    cache_size: int
    requests: int
    misses: int
    bytes: int
    miss_bytes: int
    evictions: int
    refused: int
    bound: str = ""

    @property
    def miss_ratio(self) -> float:
        """Misses as a share of requests."""
        return self.misses / self.requests if self.requests else 0.0

    @property
    def byte_miss_ratio(self) -> float:
        """Bytes missed as a share of bytes asked for."""
        return self.miss_bytes / self.bytes if self.bytes else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it, the ratios too."""
        facts = {**asdict(self), "miss_ratio": self.miss_ratio, "byte_miss_ratio": self.byte_miss_ratio}
        bound = facts.pop("bound")
        return facts | ({"bound": bound} if bound else {})

    def _repr_html_(self) -> str:
        return str(pd.Series(self.to_dict()).to_frame("").to_html())


def simulate(trace: ObjectTrace, eviction: str | EvictionPolicy, cache_size: int) -> Outcome:
    """Run a trace through an empty cache.

    Parameters
    ----------
    trace
        Requests for objects.
    eviction
        A name that `workbench.policy.get` knows, or a policy.
    cache_size
        Bytes.

    Raises
    ------
    ConfigError
        If there is no such policy, or the size is negative.
    """
    chosen = policy.get(eviction) if isinstance(eviction, str) else eviction
    if cache_size < 0:
        raise ConfigError(f"a cache of {cache_size} bytes is none", field="cache_size")
    count = _interpret(trace, chosen, cache_size) if chosen.interpreted else _compiled(trace, chosen, cache_size)
    return Outcome(
        eviction=chosen.name,
        cache_size=cache_size,
        requests=len(trace),
        misses=int(count[MISSES]),
        bytes=trace.bytes,
        miss_bytes=int(count[BYTES_MISSED]),
        evictions=int(count[EVICTIONS]),
        refused=int(count[REFUSED]),
        bound=_bound(trace) if chosen.functions == _belady.functions else "",
    )


def _bound(trace: ObjectTrace) -> str:
    same = len(trace.sizes) < 2 or int(trace.sizes.min()) == int(trace.sizes.max())
    return "the fewest misses if all that is missed is admitted" if same else "none: sizes differ; see lower_bound"


def _compiled(trace: ObjectTrace, chosen: EvictionPolicy, cache_size: int) -> Any:
    special, objects = chosen.specialised, len(trace.sizes)
    run = _specialised(chosen) if special else _generic(chosen.offline)
    functions = _NOTHING if special else chosen.compiled()
    ints, floats, count = _arenas(chosen, objects, cache_size, special and _narrow(trace, chosen, cache_size))
    sizes, pinned = _columns(trace.sizes) if special else (trace.sizes, np.zeros(objects, np.int32))
    held = np.zeros(objects, np.uint8)
    if special:
        _init_of(chosen)(ints, floats, sizes, cache_size)
    else:
        _generic_init()(functions, ints, floats, sizes, cache_size)
    for requests, nexts in trace.batches(future=chosen.offline):
        run(functions, ints, floats, sizes, held, pinned, count, requests, nexts)
    count[EVICTIONS] = count[MISSES] - count[REFUSED] - np.count_nonzero(held)
    return count


def _columns(sizes: Any) -> tuple[Any, Any]:
    """Sizes, and that nobody is pinned: nothing is read that is the same for all."""
    from workbench._same import Same

    same = len(sizes) > 0 and int(sizes.min()) == int(sizes.max())
    return (Same(len(sizes), int(sizes[0])) if same else sizes), Same(len(sizes), 0)


_NOTHING: Any = 0
_LOW, _TIMES = 1 << 31, 16  # a word holds up to that many times a count, or bytes
# What `serve` calls, and the policy's function that it stands for.
_CALLED = {"hit": "on_hit", "admit": "on_admit", "choose": "victim", "remove": "on_remove", "let_in": "admits"}


def _narrow(trace: ObjectTrace, chosen: EvictionPolicy, cache_size: int) -> bool:
    """Whether all that a policy keeps of these requests in this cache has room in 32 bits."""
    largest = max(chosen.arena(len(trace.sizes))[0], len(trace), int(trace.sizes.sum()), cache_size)
    return chosen.narrow and _TIMES * largest < _LOW


def _arenas(chosen: EvictionPolicy, objects: int, cache_size: int, narrow: bool = False) -> tuple[Any, Any, Any]:
    ints, floats = chosen.arena(objects)
    count = np.zeros(COUNTERS, np.int64)
    count[CAPACITY] = cache_size
    return np.zeros(ints, np.int32 if narrow else np.int64), np.zeros(floats, np.float64), count


def _interpret(trace: ObjectTrace, chosen: EvictionPolicy, cache_size: int) -> Any:
    """The same loop in plain Python, which is faster than calling back from compiled code."""
    ints, floats, count = _arenas(chosen, len(trace.sizes), cache_size)
    sizes, counts = trace.sizes.tolist(), count.tolist()
    held, pinned = bytearray(len(sizes)), bytes(len(sizes))
    run = _plain(chosen.functions, chosen.offline)
    chosen.functions.init(ints, floats, sizes, cache_size)
    for objects, nexts in trace.batches(future=chosen.offline):
        run(None, ints, floats, sizes, held, pinned, counts, objects.tolist(), nexts.tolist())
    counts[EVICTIONS] = counts[MISSES] - counts[REFUSED] - sum(held)
    return counts


def _plain(functions: Policy, offline: bool) -> Callable[..., None]:
    return bind(
        serve,
        OFFLINE=int(offline),
        hit=lambda policy, ints, floats, chunk: functions.on_hit(ints, floats, chunk),
        admit=lambda policy, ints, floats, chunk: functions.on_admit(ints, floats, chunk),
        choose=lambda policy, ints, floats, pinned, chunk: functions.victim(ints, floats, pinned, chunk),
        remove=lambda policy, ints, floats, chunk: functions.on_remove(ints, floats, chunk),
        let_in=lambda policy, ints, floats, chunk: functions.admits(ints, floats, chunk),
    )


@functools.cache
def _generic(offline: bool) -> Any:
    """The loop that calls function values: compiled once, whatever the policy."""
    from workbench._compile import compile_function

    return compile_function(bind(serve, OFFLINE=int(offline)))


@functools.cache
def _generic_init() -> Any:
    from workbench._compile import compile_function

    return compile_function(begin)


@functools.cache
def _specialised(chosen: EvictionPolicy) -> Any:
    """The loop with a policy's functions in place of the calls."""
    from workbench._compile import compile_function

    functions = chosen.functions._asdict()
    called = {name: bind(getattr(_template, name), function=functions[of]) for name, of in _CALLED.items()}
    return compile_function(bind(serve, OFFLINE=int(chosen.offline), **called))


@functools.cache
def _init_of(chosen: EvictionPolicy) -> Any:
    from workbench._compile import compile_function

    return compile_function(chosen.functions.init)
