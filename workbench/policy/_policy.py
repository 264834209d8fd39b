"""What an eviction policy is to those who choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from storage.errors import ConfigError
from storage.plan import Policy
from workbench.policy import _fifo, _lru, _none, _sieve

__all__ = ["EvictionPolicy", "get", "names"]


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
    """

    name: str
    arena: Callable[[int], tuple[int, int]]
    functions: Policy
    compiler: Callable[[Policy], Policy] = _compiled
    errors: list[Exception] = field(default_factory=list, compare=False)

    def compiled(self) -> Policy:
        """The same five as function values of one type, which compiled code calls without being compiled for them."""
        return self.compiler(self.functions)


_BUILT_IN = {
    "none": EvictionPolicy("none", _none.arena, _none.functions),
    "fifo": EvictionPolicy("fifo", _fifo.arena, _fifo.functions),
    "lru": EvictionPolicy("lru", _lru.arena, _lru.functions),
    "sieve": EvictionPolicy("sieve", _sieve.arena, _sieve.functions),
}


def names() -> tuple[str, ...]:
    """Names that `get` knows."""
    return tuple(_BUILT_IN)


def get(name: str) -> EvictionPolicy:
    """A policy by name, in upper or lower case.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    try:
        return _BUILT_IN[name.lower()]
    except KeyError:
        raise ConfigError(f"no eviction policy {name!r}; there are {', '.join(names())}", field="eviction") from None
