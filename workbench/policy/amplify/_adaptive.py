"""Adaptive: small windows for those who jump, larger and larger ones for those who go on."""

from __future__ import annotations

from storage.plan import Amplify

__all__ = ["adaptive"]


def adaptive(most: int = 4 << 20, least: int = 64 << 10) -> Amplify:
    """Windows of `least` bytes; a request that begins where another ended has twice that one's, up to `most`.

    Source: Wu et al., "On the design of a new Linux readahead framework", ACM OSR 42(5), 2008.
    """
    return Amplify(f"adaptive {most >> 10} KiB", least, most, limit=most)
