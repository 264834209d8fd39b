"""A plain Python class as an eviction policy: slower, and free to use dicts, heaps or a model."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from storage.errors import ConfigError
from storage.plan import Policy
from workbench.policy._eviction import EvictionPolicy

__all__ = ["PythonPolicy", "from_class"]


class PythonPolicy(Protocol):
    """What a class must have; an object is made each time a process starts, with what is ready admitted in order.

    It may have ``admits(chunk)``, too, which says whether a newcomer may come in at all.
    """

    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        """Start empty; `sizes` are bytes of each chunk, a negative `capacity` is no bound."""

    def on_hit(self, chunk: int) -> None:
        """A chunk in the cache was served."""

    def on_admit(self, chunk: int) -> None:
        """A chunk goes into the cache."""

    def victim(self, pinned: Sequence[int], chunk: int) -> int:
        """Who goes for `chunk` (-1 for none), with ``pinned[it] == 0``; -1 if nobody, then that is not admitted."""

    def on_remove(self, chunk: int) -> None:
        """A chunk leaves the cache: it was the victim, or could not be stored."""


def from_class(cls: type[PythonPolicy], name: str | None = None) -> EvictionPolicy:
    """Make a policy of a class. Its state is one object, so use it for one cache at a time.

    A victim that is pinned or not in the cache is a `ConfigError`; what else the class raises passes through, in
    a replay when it is over.

    Examples
    --------
    >>> class Newest:
    ...     def __init__(self, sizes, capacity): self.chunks = []
    ...     def on_hit(self, chunk): pass
    ...     def on_admit(self, chunk): self.chunks.append(chunk)
    ...     def victim(self, pinned, chunk): return next((c for c in reversed(self.chunks) if not pinned[c]), -1)
    ...     def on_remove(self, chunk): self.chunks.remove(chunk)
    >>> from_class(Newest).name
    'Newest'
    """
    functions = _functions(cls)
    errors: list[Exception] = []
    compiled = lru_cache(lambda functions: _callbacks(functions, errors))
    return _OfClass(name or cls.__name__, _arena, functions, compiled, errors, interpreted=True, made_of=cls)


@dataclass(frozen=True)
class _OfClass(EvictionPolicy):
    """Pickled as its class: functions over an object, and callbacks, go nowhere."""

    made_of: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return from_class, (self.made_of, self.name)


def _functions(cls: type[PythonPolicy]) -> Policy:
    """The five functions over one object, which is not trusted to name victims that may go."""
    objects: list[PythonPolicy] = []
    held: set[int] = set()

    def init(ints: Any, floats: Any, sizes: Any, capacity: int) -> None:
        objects[:] = [cls(sizes, capacity)]
        held.clear()

    def on_hit(ints: Any, floats: Any, chunk: int) -> None:
        objects[0].on_hit(chunk)

    def on_admit(ints: Any, floats: Any, chunk: int) -> None:
        held.add(chunk)
        objects[0].on_admit(chunk)

    def victim(ints: Any, floats: Any, pinned: Any, chunk: int) -> int:
        goes = int(objects[0].victim(pinned, chunk))
        if goes >= 0 and (goes not in held or pinned[goes]):
            raise ConfigError(f"policy {cls.__name__} names a victim that is pinned or not cached", chunk=goes)
        return goes

    def on_remove(ints: Any, floats: Any, chunk: int) -> None:
        held.discard(chunk)
        objects[0].on_remove(chunk)

    def admits(ints: Any, floats: Any, chunk: int) -> int:
        return int(asked(objects[0], chunk))

    asked = getattr(cls, "admits", lambda policy, chunk: True)
    return Policy(init, on_hit, on_admit, victim, on_remove, admits)


def _arena(chunks: int) -> tuple[int, int]:
    return 1, 1


def _callbacks(functions: Policy, errors: list[Exception]) -> Policy:
    """Wrap the functions so that compiled code can call back into the interpreter.

    An exception cannot pass through compiled code: the first is kept in `errors`, and nothing is asked after it.
    """
    from workbench._compile import callback_policy

    word, address = ctypes.c_int64, ctypes.c_void_p

    def safely(function: Callable[..., Any], *arguments: Any) -> int:
        if not errors:
            try:
                result = function((), (), *arguments)
            except Exception as error:
                errors.append(error)
            else:
                return 0 if result is None else int(result)
        return -1

    def array(at: int, length: int, kind: Any) -> Any:
        return np.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(kind)), (length,))

    def init(at: int, length: int, capacity: int) -> None:
        safely(functions.init, array(at, length, ctypes.c_int64), capacity)

    def victim(at: int, length: int, chunk: int) -> int:
        return safely(functions.victim, array(at, length, ctypes.c_int32), chunk)

    def one(function: Callable[..., None]) -> Any:
        return ctypes.CFUNCTYPE(None, word)(lambda chunk: safely(function, chunk) and None)

    return callback_policy(
        ctypes.CFUNCTYPE(None, address, word, word)(init),
        one(functions.on_hit),
        one(functions.on_admit),
        ctypes.CFUNCTYPE(word, address, word, word)(victim),
        one(functions.on_remove),
        ctypes.CFUNCTYPE(word, word)(lambda chunk: safely(functions.admits, chunk)),
    )
