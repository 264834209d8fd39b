"""What an eviction policy is to those who choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from storage.plan import Policy, keep_all
from workbench.policy._hits import InBulk

__all__ = ["EvictionPolicy"]


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
        See `storage.plan.Policy`; in numba's subset, or bring a `compiler` that needs no such thing. Those that are to
        be compiled tell a live store's hits in bulk, see `InBulk`.
    compiler
        Makes the functions that compiled code calls.
    errors
        What functions raised where no exception can pass; whoever ran them empties it.
    interpreted
        Whether the functions are plain Python that is not to be compiled.
    offline
        Whether it knows the future, so that it is no policy for a live store: the last word of its int64 arena
        is set to the number of the request that will use the chunk in hand next.
    specialised
        Whether loops are compiled with its functions in them rather than to call them: faster, for a compilation
        of its own.
    narrow
        Whether all that it keeps in its int64 arena are chunks, nodes, counts of requests and sums of bytes: where
        none of these comes near 2**31, a loop that is specialised gives it 32 bits, which is half as much to go
        through.
    """

    name: str
    arena: Callable[[int], tuple[int, int]]
    functions: Policy
    compiler: Callable[[Policy], Policy] = _compiled
    errors: list[Exception] = field(default_factory=list, compare=False)
    interpreted: bool = False
    offline: bool = False
    specialised: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        """Have many hits told at once by compiled code, where there is any."""
        if not self.interpreted and self.functions is not keep_all:  # which learns nothing from them
            object.__setattr__(self, "functions", InBulk(*self.functions))

    def compiled(self) -> Policy:
        """The same five as function values of one type, which compiled code calls without being compiled for them."""
        return self.compiler(self.functions)
