"""What an eviction policy is to those who choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from storage.errors import ConfigError
from storage.plan import Policy
from workbench.policy import (
    _arc,
    _belady,
    _beladysize,
    _clock,
    _fifo,
    _gdsf,
    _hyperbolic,
    _lecar,
    _lfu,
    _lfuda,
    _lhd,
    _lirs,
    _lru,
    _lruk,
    _mq,
    _mru,
    _none,
    _qdlp,
    _random,
    _s3fifo,
    _sieve,
    _slru,
    _twoq,
    _wtinylfu,
)

__all__ = ["EvictionPolicy", "get", "is_built_in", "names"]


def _compiled(functions: Policy) -> Policy:
    # numba takes a second to import, and a live store has no use for it.
    from workbench._compile import compile_policy

    return compile_policy(functions)


@dataclass(frozen=True)
class EvictionPolicy:
    """Five functions, and how much memory they need.

    Attributes
    ----------
    name
        What it is called in tables.
    arena
        From a count of chunks to the lengths of the int64 and the float64 arena.
    functions
        See `storage.plan.Policy`; in numba's subset, or bring a `compiler` that needs no such thing.
    compiler
        Makes the functions that compiled code calls.
    errors
        What functions raised where no exception can pass; whoever ran them empties it.
    interpreted
        Whether the functions are plain Python that is not to be compiled.
    offline
        Whether it knows the future, so that it is no policy for a live store: the last word of its int64 arena
        is set to the number of the request that will use the chunk in hand next.
    """

    name: str
    arena: Callable[[int], tuple[int, int]]
    functions: Policy
    compiler: Callable[[Policy], Policy] = _compiled
    errors: list[Exception] = field(default_factory=list, compare=False)
    interpreted: bool = False
    offline: bool = False

    def compiled(self) -> Policy:
        """The same five as function values of one type, which compiled code calls without being compiled for them."""
        return self.compiler(self.functions)


_GROUP = "workbench.policies"
_MODULES = {
    "none": _none,
    "fifo": _fifo,
    "lru": _lru,
    "mru": _mru,
    "clock": _clock,
    "sieve": _sieve,
    "lfu": _lfu,
    "lfuda": _lfuda,
    "gdsf": _gdsf,
    "lru-k": _lruk,
    "slru": _slru,
    "2q": _twoq,
    "arc": _arc,
    "s3-fifo": _s3fifo,
    "qdlp": _qdlp,
    "mq": _mq,
    "lirs": _lirs,
    "w-tinylfu": _wtinylfu,
    "random": _random,
    "hyperbolic": _hyperbolic,
    "lecar": _lecar,
    "lhd": _lhd,
    "belady": _belady,
    "belady-size": _beladysize,
}
_BUILT_IN = {
    name: EvictionPolicy(name, module.arena, module.functions, offline=getattr(module, "OFFLINE", False))
    for name, module in _MODULES.items()
}


def is_built_in(policy: EvictionPolicy) -> bool:
    """Whether it is one of ours, so that loops may be compiled for it."""
    return _BUILT_IN.get(policy.name) == policy


def names() -> tuple[str, ...]:
    """Names that `get` knows: built-in ones, and those that installed packages bring."""
    return (*_BUILT_IN, *_installed())


def get(name: str) -> EvictionPolicy:
    """A policy by name, in upper or lower case.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name.lower() in _BUILT_IN:
        return _BUILT_IN[name.lower()]
    if name in _installed():
        return _load(name)
    raise ConfigError(f"no eviction policy {name!r}; there are {', '.join(names())}", field="eviction")


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUP) if entry.name.lower() not in _BUILT_IN}


def _load(name: str) -> EvictionPolicy:
    """What an entry point names: an `EvictionPolicy`, or a class for `from_class`."""
    from workbench.policy._python import from_class

    try:
        loaded = _installed()[name].load()
    except Exception as error:  # another package's code may raise any
        raise ConfigError(f"policy {name!r} cannot be loaded: {error}", field="eviction") from error
    if isinstance(loaded, EvictionPolicy):
        return loaded
    if isinstance(loaded, type):
        return from_class(loaded, name)
    raise ConfigError(f"policy {name!r} is neither an EvictionPolicy nor a class", field="eviction")
