"""A plain Python class as a prefetch policy: slower, and free to use dicts or a model."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from storage.plan import Ahead, Layout
from workbench.policy.prefetch._policy import Bound, Known, PrefetchPolicy

__all__ = ["PythonPrefetch", "from_class"]


class PythonPrefetch(Protocol):
    """What a class must have; an object is made for each replay."""

    def __init__(self, layout: Layout) -> None:
        """Start; `layout` says where each chunk lies."""

    def on_read(self, chunk: int, ready: bool) -> Iterable[int]:
        """A user reads a chunk, which is in the cache or not; returns chunks to fetch, the most urgent first."""


def from_class(cls: type[PythonPrefetch], name: str | None = None) -> PrefetchPolicy:
    """Make a policy of a class. What it raises passes through, in a replay when it is over.

    Examples
    --------
    >>> class Next:
    ...     def __init__(self, layout): self.chunks = len(layout.size)
    ...     def on_read(self, chunk, ready): return [chunk + 1] if chunk + 1 < self.chunks else []
    >>> from_class(Next).name
    'Next'
    """

    def bind(known: Known) -> Bound:
        policy, errors = cls(known.layout), list[Exception]()

        def on_read(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
            count = 0
            for row in policy.on_read(chunk, bool(ready)):
                if count < len(out):
                    out[count] = row
                    count += 1
            return count

        ahead = Ahead(on_read, np.zeros(1, np.int64), np.zeros(1))
        return Bound(ahead=ahead, compiler=lambda _: _callback(on_read, errors), errors=errors)

    return PrefetchPolicy(name or cls.__name__, bind)


def _callback(on_read: Any, errors: list[Exception]) -> Any:
    """A function that compiled code calls; no exception can pass through it, so the first is kept."""
    from workbench._compile import callback_ahead

    def call(chunk: int, ready: int, at: int, length: int) -> int:
        if errors:
            return 0
        out = np.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(ctypes.c_int64)), (length,))
        try:
            return int(on_read((), (), chunk, ready, out))
        except Exception as error:
            errors.append(error)
            return 0

    word = ctypes.c_int64
    return callback_ahead(ctypes.CFUNCTYPE(word, word, word, ctypes.c_void_p, word)(call))
