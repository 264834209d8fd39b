"""Adaptive: small windows for those who jump, larger and larger ones for those who go on."""

from __future__ import annotations

import numpy as np

from storage.plan import Amplify

__all__ = ["adaptive"]


def adaptive(least: int = 64 << 10, most: int = 4 << 20) -> Amplify:
    """Windows of `least` bytes; a request that begins where another ended has twice that one's, up to `most`."""
    return Amplify("adaptive", most, lambda layout: np.full(len(layout.size), least, np.int64), limit=most)
