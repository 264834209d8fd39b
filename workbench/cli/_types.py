"""Sizes as people write them."""

from __future__ import annotations

from typing import Any

import click

from storage.errors import ConfigError
from workbench._quantity import parse_size

__all__ = ["CACHE_SIZE", "SIZE", "Share", "bytes_of"]


class Share(float):
    """A size as a share of what a trace touches: ``50%``."""


def bytes_of(size: int | Share, whole: int) -> int:
    """A size in bytes, where a share is one of `whole`."""
    return int(size * whole) if isinstance(size, Share) else size


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


SIZE = _Size()
CACHE_SIZE = _Size(share=True)
