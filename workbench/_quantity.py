"""Quantities as people write them: a number and a unit."""

from __future__ import annotations

import re
from typing import Any

from storage.errors import ConfigError

__all__ = ["parse_size", "split"]

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes of ``4096``, ``256KiB``, ``1MiB``, ``200MB``.

    Raises
    ------
    ConfigError
        If it is no size.
    """
    number, unit = split(text, _UNITS, "a size", "256KiB")
    return int(number * unit)


def split(text: str, units: dict[str, Any], what: str, example: str) -> tuple[float, float]:
    """A number and what its unit stands for."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*?)(?:/s)?\s*", text)
    if match is None or match[2].lower() not in units or (not match[2] and "" not in units):
        raise ConfigError(f"{text!r} is not {what}: say {example}")
    return float(match[1]), units[match[2].lower()]
