"""Made-up traces: Zipf, scans, loops and mixes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["loop", "mixed", "scan", "zipf"]

I64 = npt.NDArray[np.int64]


def zipf(requests: int, objects: int, alpha: float = 1.0, seed: int = 0) -> I64:
    """Objects drawn independently, the k-th most popular with a weight of ``k ** -alpha``; which is which is drawn."""
    rng = np.random.default_rng(seed)
    total = np.cumsum(np.arange(1, objects + 1, dtype=np.float64) ** -alpha)
    picks = np.searchsorted(total, rng.random(requests) * total[-1])
    return np.asarray(rng.permutation(objects)[np.minimum(picks, objects - 1)], np.int64)


def scan(requests: int, objects: int, first: int = 0) -> I64:
    """One object after the other, from `first` on, and again from the start."""
    return (first + np.arange(requests, dtype=np.int64)) % objects


def loop(requests: int, objects: int, length: int) -> I64:
    """The same `length` objects over and over."""
    return np.arange(requests, dtype=np.int64) % min(length, objects)


def mixed(parts: Sequence[I64], run: int = 100, seed: int = 0) -> I64:
    """Runs of `run` requests, each the next of a trace that is drawn, until all are used up."""
    rng = np.random.default_rng(seed)
    pieces = [np.array_split(part, max(len(part) // run, 1)) for part in parts]
    turns = rng.permutation(np.repeat(np.arange(len(parts)), [len(piece) for piece in pieces]))
    at = [iter(piece) for piece in pieces]
    return np.concatenate([next(at[turn]) for turn in turns]) if len(turns) else np.zeros(0, np.int64)
