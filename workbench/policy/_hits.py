"""Hits of a live store, told to its policy many at a time by compiled code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.plan import Policy, keep_all
from workbench._bind import bind

__all__ = ["InBulk"]

# So many at once are worth a compiled call. A store that never has so many to tell never loads numba, which takes a
# second and 60 MB.
_MANY = 256


class InBulk(Policy):
    """See `Policy`. What is told at once is the same, in the same order; the compiled form of it is made aside.

    Until it is there, or where it cannot be had, hits are told one by one as they always were.
    """

    __slots__ = ()

    def wait(self) -> None:
        """Have the compiled form made, and wait for it; raises what keeps the functions from being compiled."""
        _told(self.on_hit).result()

    def on_hits(self, ints: Any, floats: Any, chunks: npt.NDArray[np.int64]) -> None:
        """Tell of hits, one after the other."""
        if len(chunks) >= _MANY and (told := _told(self.on_hit)).done() and not told.exception():
            told.result()(np.asarray(ints), np.asarray(floats), chunks)
        else:
            super().on_hits(ints, floats, chunks)


@functools.cache
def _told(on_hit: Callable[..., None]) -> Future[Callable[..., None]]:
    """The loop with the policy's function in it, as soon as it is compiled: no reader waits for that."""
    aside = ThreadPoolExecutor(1, "compile")
    told = aside.submit(_compile, on_hit)
    aside.shutdown(wait=False)
    return told


def _compile(on_hit: Callable[..., None]) -> Callable[..., None]:
    from workbench._compile import compile_function

    compiled: Callable[..., None] = compile_function(bind(_tell, function=on_hit))
    compiled(np.zeros(1, np.int64), np.zeros(1), np.zeros(0, np.int64))  # which compiles it for these types
    return compiled


function: Any = keep_all.on_hit


def _tell(ints: Any, floats: Any, chunks: Any) -> None:
    for chunk in chunks:
        function(ints, floats, chunk)
