"""None: a request is for what was asked."""

from __future__ import annotations

from storage.plan import Amplify

__all__ = ["none"]


def none(batch: int = 1 << 20) -> Amplify:
    """Fetch nothing along; neighbours that are asked for together still merge up to `batch` bytes."""
    return Amplify("none", 0, batch)
