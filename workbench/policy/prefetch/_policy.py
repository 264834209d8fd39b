"""What a prefetch policy is: a list that is fetched from the start, a function that answers reads, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError
from storage.image import Image
from storage.plan import Ahead, Batches, Layout, Options

__all__ = ["Bound", "Known", "PrefetchPolicy", "Reads", "checked", "silent"]

I64 = npt.NDArray[np.int64]


class Reads(Protocol):
    """What a policy may know of a workload."""

    @property
    def first_use(self) -> I64:
        """Chunk rows in the order in which reads first need them."""

    def chunks_of(self, program: int, /) -> I64:
        """Chunk rows that a program needs, ascending."""


@dataclass(frozen=True)
class Known:
    """What a policy goes by.

    Attributes
    ----------
    layout, options
        Of the image's chunks, and how requests are merged.
    image
        Files and folders; None where a layout is all there is.
    workload
        What will be read; None in a live store.
    """

    layout: Layout
    options: Options
    image: Any = None
    workload: Reads | None = None

    @property
    def files(self) -> Image:
        """The image.

        Raises
        ------
        ConfigError
            If there is none.
        """
        if self.image is None:
            raise ConfigError("a prefetch policy that goes by files needs an image, not its layout", field="prefetch")
        image: Image = self.image
        return image

    @property
    def reads(self) -> Reads:
        """The workload.

        Raises
        ------
        ConfigError
            If nobody knows it.
        """
        if self.workload is None:
            raise ConfigError("a prefetch policy that goes by a workload needs one", field="prefetch")
        return self.workload


def silent(ints: Any, floats: Any, chunk: int, ready: int, out: Any) -> int:
    """Suggest nothing."""
    return 0


def _compiled(on_read: Callable[..., int]) -> Any:
    # numba takes a second to import, and a live store has no use for it.
    from workbench._compile import compile_ahead

    return compile_ahead(on_read)


@dataclass(frozen=True)
class Bound:
    """A policy for one layout.

    Attributes
    ----------
    rows
        Chunk rows to fetch from the start, in this order, or requests for them.
    ahead
        What answers reads, and its memory as it is when a program starts.
    compiler
        Makes the function that compiled code calls.
    errors
        What the function raised where no exception can pass.
    """

    rows: I64 | Batches = field(default_factory=lambda: np.zeros(0, np.int64))
    ahead: Ahead | None = None
    compiler: Callable[[Callable[..., int]], Any] = _compiled
    errors: list[Exception] = field(default_factory=list, compare=False)

    def compiled(self) -> Any:
        """The function as a value of one type, which compiled code calls without being compiled for it."""
        return _compiled(silent) if self.ahead is None else self.compiler(self.ahead.on_read)

    def fresh(self) -> Ahead | None:
        """What a live store is given: the function, and memory of its own."""
        return self.ahead and Ahead(self.ahead.on_read, self.ahead.ints.copy().data, self.ahead.floats.copy().data)


@dataclass(frozen=True)
class PrefetchPolicy:
    """A name, and how to bind it to an image."""

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
