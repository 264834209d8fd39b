"""Chunk tables made by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from storage.plan import Layout

Table = Callable[..., Layout]


@pytest.fixture
def table() -> Table:
    """Makes a layout of (compressed start, compressed size) pairs, each chunk of 4096 bytes uncompressed."""

    def make(*spans: tuple[int, int], blob: tuple[int, ...] = (), known: tuple[int, ...] = ()) -> Layout:
        count = len(spans)
        start = np.array([at for at, _ in spans], np.int64)
        return Layout(
            blob=np.array(blob or [0] * count, np.int64),
            start=start,
            end=start + np.array([size for _, size in spans], np.int64),
            offset=np.arange(count, dtype=np.int64) * 4096,
            size=np.full(count, 4096, np.int64),
            known=np.array(known or [1] * count, np.uint8),
            unit=np.arange(count),
            kind=np.zeros(count, np.uint8),
        )

    return make
