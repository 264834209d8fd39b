"""How far a request is widened under plan `exact`, where that is not the same for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.errors import ConfigError

__all__ = ["Amplify", "reach", "windows"]

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Amplify:
    """An amplification policy: a window for each chunk that a request may begin with.

    Attributes
    ----------
    name
        What it is called in tables.
    window
        Bytes of the blob, from the request's first chunk on, that are fetched along: for all, or (chunks,) int64.
    batch
        Neighbours that are asked for together merge into one request until it is this long.
    limit
        If not 0, windows adapt: the chunk behind a request gets twice that request's window, up to this, so
        whoever goes on where it ended fetches more at once, as a kernel reads files ahead.
    """

    name: str
    window: int | I64
    batch: int = 1 << 20
    limit: int = 0


def reach(amplify: int | Amplify) -> int:
    """The longest window that there can be; a number of bytes is the window of all."""
    if not isinstance(amplify, Amplify):
        return amplify
    return max(int(np.max(amplify.window, initial=0)), amplify.limit)


def windows(amplify: int | Amplify, chunks: int) -> I64:
    """By chunk, how far a request that begins with it may reach, before anything was read: (n,) int64.

    Raises
    ------
    ConfigError
        If there is not one for each chunk, or one is negative.
    """
    window = amplify.window if isinstance(amplify, Amplify) else amplify
    if np.ndim(window) != 0 and np.shape(window) != (chunks,):
        raise ConfigError(f"{np.size(window)} windows are not one for each of {chunks} chunks", field="amplify_io")
    columns = np.full(chunks, window, np.int64)
    if chunks and columns.min() < 0:
        raise ConfigError("a window cannot be negative", field="amplify_io")
    return columns
