"""What an admission policy is: three functions, and those of an eviction policy behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from storage.plan import Policy, keep_all
from workbench._bind import bind

__all__ = ["FIRST", "Gate", "guarded"]


class Gate(NamedTuple):
    """An admission policy's functions, over arenas of its own.

    ``init(ints, floats, sizes, capacity)``, ``on_use(ints, floats, chunk)`` for each hit and each newcomer,
    ``admits(ints, floats, chunk, victim) -> 0 or 1``.

    Whether to admit a newcomer is asked first with no victim, -1, and if room has to be made once more, with the
    first that would go for it: nothing has gone yet.
    """

    init: Callable[..., None]
    on_use: Callable[..., None]
    admits: Callable[..., int]


# Registers of guarded arenas: where the eviction policy's part begins, and who has been compared with its victim.
_INTS, _FLOATS, _COMPARED = 0, 1, 2
FIRST = 4


def guarded(gate: Gate, arena: Callable[[int], tuple[int, int]], eviction: Policy) -> Policy:
    """An eviction policy's functions with an admission policy's before them, as one policy.

    Its int64 arena has registers, the admission policy's part and the eviction policy's; its float64 arena has the
    same two parts.
    """
    called = {"gate_use": gate.on_use, "gate_admits": gate.admits} | {
        f"evict_{name.removeprefix('on_')}": function for name, function in eviction._asdict().items()
    }
    return Policy(
        bind(_init, gate_init=gate.init, gate_arena=arena, **called),
        *(bind(function, **called) for function in (_on_hit, _on_admit, _victim, _on_remove, _admits)),
    )


# What the names below stand for until they are bound.
gate_init: Any = keep_all.init
gate_use: Any = keep_all.on_hit
gate_admits: Any = keep_all.victim
evict_init, evict_hit, evict_admit, evict_victim, evict_remove, evict_admits = keep_all


def gate_arena(chunks: int) -> tuple[int, int]:
    """The admission policy's."""
    return 0, 0


def _init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
    words, numbers = gate_arena(len(sizes))
    ints[_INTS], ints[_FLOATS], ints[_COMPARED] = FIRST + words, numbers, -1
    gate_init(ints[FIRST:], floats, sizes, capacity)
    evict_init(ints[ints[_INTS] :], floats[ints[_FLOATS] :], sizes, capacity)


def _on_hit(ints: Any, floats: Any, chunk: int) -> None:
    gate_use(ints[FIRST:], floats, chunk)
    evict_hit(ints[ints[_INTS] :], floats[ints[_FLOATS] :], chunk)


def _on_admit(ints: Any, floats: Any, chunk: int) -> None:
    evict_admit(ints[ints[_INTS] :], floats[ints[_FLOATS] :], chunk)


def _victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
    goes = evict_victim(ints[ints[_INTS] :], floats[ints[_FLOATS] :], pinned, chunk)
    if goes >= 0 and chunk >= 0 and ints[_COMPARED] != chunk:
        if gate_admits(ints[FIRST:], floats, chunk, goes) == 0:
            return -1
        ints[_COMPARED] = chunk
    return int(goes)


def _on_remove(ints: Any, floats: Any, chunk: int) -> None:
    evict_remove(ints[ints[_INTS] :], floats[ints[_FLOATS] :], chunk)


def _admits(ints: Any, floats: Any, chunk: int) -> int:
    ints[_COMPARED] = -1
    gate_use(ints[FIRST:], floats, chunk)
    if gate_admits(ints[FIRST:], floats, chunk, -1) == 0:
        return 0
    return int(evict_admits(ints[ints[_INTS] :], floats[ints[_FLOATS] :], chunk))
