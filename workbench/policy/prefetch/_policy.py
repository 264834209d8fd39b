"""What a prefetch policy is: a list that is fetched from the start, a function that answers reads, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError
from storage.plan import Ahead, Layout, Segments

__all__ = ["Bound", "Known", "PrefetchPolicy", "checked"]

I64 = npt.NDArray[np.int64]


class Known(Protocol):
    """What a policy may know of a workload; all but the clairvoyant ask for the layout alone."""

    @property
    def layout(self) -> Layout:
        """The image's chunks."""

    @property
    def segments(self) -> Segments:
        """What reads ask of chunks."""

    @property
    def first_use(self) -> I64:
        """Chunk rows in the order in which reads first need them."""

    def chunks_of(self, program: int, /) -> I64:
        """Chunk rows that a program needs, ascending."""


def _compiled(ahead: Ahead | None) -> Any:
    # numba takes a second to import, and a live store has no use for it.
    from workbench._compile import compile_ahead

    return compile_ahead(_silent if ahead is None else ahead.on_read)


def _silent(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    return 0


@dataclass(frozen=True)
class Bound:
    """A policy for one layout.

    Attributes
    ----------
    rows
        Chunk rows to fetch from the start, in this order.
    ahead
        What answers reads, and its memory as it is when a program starts.
    compiler
        Makes the function that compiled code calls.
    errors
        What the function raised where no exception can pass.
    """

    rows: I64
    ahead: Ahead | None = None
    compiler: Callable[[Ahead | None], Any] = _compiled
    errors: list[Exception] = field(default_factory=list, compare=False)

    def compiled(self) -> Any:
        """The function as a value of one type, which compiled code calls without being compiled for it."""
        return self.compiler(self.ahead)

    def fresh(self) -> Ahead | None:
        """What a live store is given: the function, and memory of its own."""
        return self.ahead and Ahead(self.ahead.on_read, self.ahead.ints.copy().data, self.ahead.floats.copy().data)


@dataclass(frozen=True)
class PrefetchPolicy:
    """A name, and how to bind it to a workload's layout."""

    name: str
    bind: Callable[[Known], Bound]


def checked(rows: Sequence[int] | I64, layout: Layout) -> I64:
    """Rows as an array.

    Raises
    ------
    ConfigError
        If the layout does not have one of them.
    """
    array = np.asarray(rows, np.int64)
    if len(array) and not 0 <= array.min() <= array.max() < len(layout.size):
        raise ConfigError("a prefetch list names a chunk that the image does not have", field="prefetch")
    return array
