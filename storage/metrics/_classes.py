"""Classes of sizes and times, by which nydusd's histograms are kept.

Source: nydus ``utils/src/metrics.rs``.
"""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["LATENCY_CLASSES", "SIZE_CLASSES", "latency_class", "millis_class", "size_class"]

SIZE_CLASSES = ("<1K", "1K~", "4K~", "16K~", "64K~", "128K~", "512K~", "1M~")
LATENCY_CLASSES = ("<=200us", "<=1ms", "<=20ms", "<=50ms", "<=500ms", "<=1s", "<=2s", ">2s")

# By the number of bits of a size in KiB.
_SIZE_CLASS = (0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 7)
_MICROS = (200, 1_000, 20_000, 50_000, 500_000, 1_000_000, 2_000_000)
_MILLIS = (1, 20, 50, 100, 500, 1000, 2000)


def size_class(size: int) -> int:
    """Of a size in bytes: index into `SIZE_CLASSES`."""
    return _SIZE_CLASS[min((size >> 10).bit_length(), len(_SIZE_CLASS) - 1)]


def latency_class(micros: int) -> int:
    """Of how long a file system's read took, in microseconds: index into `LATENCY_CLASSES`."""
    return bisect_left(_MICROS, micros)


def millis_class(millis: int) -> int:
    """Of how long a backend's read took, in milliseconds: up to 1, 20, 50, 100, 500, 1000, 2000, or more."""
    return bisect_left(_MILLIS, millis)
