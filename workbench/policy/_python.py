"""A plain Python class as an eviction policy: slower, and free to use dicts, heaps or a model."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from storage.plan import Policy
from workbench.policy._policy import EvictionPolicy

__all__ = ["PythonPolicy", "from_class"]


class PythonPolicy(Protocol):
    """What a class must have; an object is made each time a process starts, with what is ready admitted in order."""

    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        """Start empty; `sizes` are bytes of each chunk, a negative `capacity` is no bound."""

    def on_hit(self, chunk: int) -> None:
        """A chunk in the cache was served."""

    def on_admit(self, chunk: int) -> None:
        """A chunk goes into the cache."""

    def victim(self, pinned: Sequence[int]) -> int:
        """A chunk in the cache that may go, with ``pinned[chunk] == 0``; -1 if there is none."""

    def on_remove(self, chunk: int) -> None:
        """A chunk leaves the cache: it was the victim, or could not be stored."""


def from_class(cls: type[PythonPolicy], name: str | None = None) -> EvictionPolicy:
    """Make a policy of a class. Its state is one object, so use it for one cache at a time.

    Examples
    --------
    >>> class Newest:
    ...     def __init__(self, sizes, capacity): self.chunks = []
    ...     def on_hit(self, chunk): pass
    ...     def on_admit(self, chunk): self.chunks.append(chunk)
    ...     def victim(self, pinned): return next((c for c in reversed(self.chunks) if not pinned[c]), -1)
    ...     def on_remove(self, chunk): self.chunks.remove(chunk)
    >>> from_class(Newest).name
    'Newest'
    """
    held: list[PythonPolicy] = []

    def init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
        held[:] = [cls(sizes, capacity)]

    def on_hit(ints: Any, floats: Any, chunk: int) -> None:
        held[0].on_hit(chunk)

    def on_admit(ints: Any, floats: Any, chunk: int) -> None:
        held[0].on_admit(chunk)

    def victim(ints: Any, floats: Any, pinned: Any) -> int:
        return held[0].victim(pinned)

    def on_remove(ints: Any, floats: Any, chunk: int) -> None:
        held[0].on_remove(chunk)

    functions = Policy(init, on_hit, on_admit, victim, on_remove)
    return EvictionPolicy(name or cls.__name__, _arena, functions, _as_callbacks)


def _arena(chunks: int) -> tuple[int, int]:
    return 1, 1


def _as_callbacks(functions: Policy) -> Policy:
    """Wrap the functions so that compiled code can call back into the interpreter."""
    from workbench._compile import callback_policy

    word, address = ctypes.c_int64, ctypes.c_void_p

    def array(at: int, length: int, kind: Any) -> Any:
        return np.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(kind)), (length,))

    def init(at: int, length: int, capacity: int) -> None:
        functions.init((), (), array(at, length, ctypes.c_int64), capacity)

    def on_hit(chunk: int) -> None:
        functions.on_hit((), (), chunk)

    def on_admit(chunk: int) -> None:
        functions.on_admit((), (), chunk)

    def victim(at: int, length: int) -> int:
        return int(functions.victim((), (), array(at, length, ctypes.c_int32)))

    def on_remove(chunk: int) -> None:
        functions.on_remove((), (), chunk)

    one = ctypes.CFUNCTYPE(None, word)
    return callback_policy(
        ctypes.CFUNCTYPE(None, address, word, word)(init),
        one(on_hit),
        one(on_admit),
        ctypes.CFUNCTYPE(word, address, word)(victim),
        one(on_remove),
    )
