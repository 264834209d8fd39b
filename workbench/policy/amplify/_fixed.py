"""A fixed window: the same for every request."""

from __future__ import annotations

from storage.plan import Amplify

__all__ = ["fixed"]


def fixed(size: int = 1 << 20) -> Amplify:
    """Fetch along what lies within `size` bytes of the blob from the request's first chunk on."""
    return Amplify(f"fixed {size >> 10} KiB", size, size)
