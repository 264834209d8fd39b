"""A link as people write it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from storage.backend import LINKS, Link
from storage.errors import ConfigError
from workbench._quantity import parse_size, split

__all__ = ["LINK", "parse_link"]

_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_RATES = {"bit": 0.125, "kbit": 125, "mbit": 125_000, "gbit": 125_000_000}
_COUNTS = {"connections": "connections", "seed": "seed", "rps": "requests_per_second"}
_COUNTS |= {"errors": "errors_ppm", "retries": "retries"}
_RATES |= {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_link(text: str) -> Link:
    """A link of ``rtt=20ms,bw=200Mbit,connections=8,jitter=2ms,seed=1``, in any order and number.

    It may begin with a name of `storage.backend.LINKS`, from which the rest departs: ``wan,errors=1000``. Further
    there are ``cap``, a bandwidth for each connection, ``window`` for slow start, ``rps`` for requests a second,
    ``errors`` of a million tries, and ``retries``.

    Raises
    ------
    ConfigError
        If a part is not of these.
    """
    values: dict[str, int] = {}
    name, _, rest = text.partition(",")
    known = LINKS.get(name.strip())
    for part in (text if known is None else rest).split(",") if known is None or rest else ():
        key, _, value = part.strip().partition("=")
        if key in ("rtt", "jitter"):
            number, unit = split(value, _TIMES, "a time", "20ms")
            values[f"{key}_ns"] = int(number * unit)
        elif key in ("bw", "cap"):
            number, unit = split(value, _RATES, "a bandwidth", "200Mbit")
            values["bandwidth" if key == "bw" else "connection_bandwidth"] = int(number * unit)
        elif key == "window":
            values["window"] = parse_size(value)
        elif key in _COUNTS and value.isdigit():
            values[_COUNTS[key]] = int(value)
        else:
            raise ConfigError(f"{part!r} says nothing of a link: say rtt=20ms,bw=200Mbit,connections=8")
    return replace(known or Link(), **values)


class _LinkType(click.ParamType):
    name = "link"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Link:
        try:
            return value if isinstance(value, Link) else parse_link(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


LINK = _LinkType()
