"""Values as people write them: sizes and links."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import click

from storage.backend import LINKS, Link
from storage.errors import ConfigError

__all__ = ["CACHE_SIZE", "LINK", "SIZE", "Share", "parse_link", "parse_size"]

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_RATES = {"bit": 0.125, "kbit": 125, "mbit": 125_000, "gbit": 125_000_000}
_COUNTS = {"connections": "connections", "seed": "seed", "rps": "requests_per_second"}
_COUNTS |= {"errors": "errors_ppm", "retries": "retries"}
_RATES |= {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


class Share(float):
    """A size as a share of what a trace touches: ``50%``."""


def parse_size(text: str) -> int:
    """Bytes of ``4096``, ``256KiB``, ``1MiB``, ``200MB``.

    Raises
    ------
    ConfigError
        If it is no size.
    """
    number, unit = _split(text, _UNITS, "a size", "256KiB")
    return int(number * unit)


def parse_link(text: str) -> Link:
    """A link of ``rtt=20ms,bw=200Mbit,connections=8,jitter=2ms,seed=1``, in any order and number.

    A name of `storage.backend.LINKS` may come first, which the rest changes: ``wan,errors=1000``. Further there are
    ``cap``, a bandwidth for each connection, ``window`` for slow start, ``rps`` for requests a second, ``errors`` of
    a million tries, and ``retries``.

    Raises
    ------
    ConfigError
        If a part is not of these.
    """
    values: dict[str, int] = {}
    first, *others = (part.strip() for part in text.split(","))
    for part in others if first in LINKS else (first, *others):
        key, _, value = part.partition("=")
        if key in ("rtt", "jitter"):
            number, unit = _split(value, _TIMES, "a time", "20ms")
            values[f"{key}_ns"] = int(number * unit)
        elif key in ("bw", "cap"):
            number, unit = _split(value, _RATES, "a bandwidth", "200Mbit")
            values["bandwidth" if key == "bw" else "connection_bandwidth"] = int(number * unit)
        elif key == "window":
            values["window"] = parse_size(value)
        elif key in _COUNTS and value.isdigit():
            values[_COUNTS[key]] = int(value)
        else:
            raise ConfigError(f"{part!r} says nothing of a link: say rtt=20ms,bw=200Mbit,connections=8")
    return replace(LINKS.get(first, Link()), **values)


def _split(text: str, units: dict[str, Any], what: str, example: str) -> tuple[float, float]:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*?)(?:/s)?\s*", text)
    if match is None or match[2].lower() not in units or (not match[2] and "" not in units):
        raise ConfigError(f"{text!r} is not {what}: say {example}")
    return float(match[1]), units[match[2].lower()]


class _Size(click.ParamType):
    name = "size"

    def __init__(self, share: bool = False) -> None:
        self._share = share

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            if self._share and value.endswith("%"):
                return Share(float(value[:-1]) / 100)
            return parse_size(value)
        except (ConfigError, ValueError) as error:
            self.fail(str(error), param, ctx)


class _LinkType(click.ParamType):
    name = "link"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Link:
        try:
            return value if isinstance(value, Link) else parse_link(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


SIZE = _Size()
CACHE_SIZE = _Size(share=True)
LINK = _LinkType()
