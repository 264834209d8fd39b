"""Backends by the names that configurations call them, those of other packages included.

A package offers a backend with an entry point of the group ``storage.backends``: its name is the
backend's type, its object is called with the settings in the table of that name and returns the backend.

    [project.entry-points."storage.backends"]
    tape = "my_package:open_tape"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from storage.backend._base import BlobBackend
from storage.errors import ConfigError, StorageError

__all__ = ["GROUP", "open_plugin", "plugin_names"]

GROUP = "storage.backends"


def plugin_names() -> list[str]:
    """Types of backend that other packages offer, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def open_plugin(kind: str, settings: Mapping[str, Any]) -> BlobBackend:
    """A backend of another package.

    Raises
    ------
    ConfigError
        If no package offers the type, two do, it cannot be loaded, or it does not take the settings.
    """
    points = list(entry_points(group=GROUP, name=kind))
    if len(points) != 1:
        what = "is offered by two packages" if points else f"is no type of backend; others are {plugin_names()}"
        raise ConfigError(f"{kind!r} {what}", field="backend.type")
    try:
        return _load(points[0])(settings)
    except StorageError:
        raise
    except Exception as error:
        raise ConfigError(f"backend {kind!r} refuses its settings: {error}", field=f"backend.{kind}") from error


def _load(point: EntryPoint) -> Callable[[Mapping[str, Any]], BlobBackend]:
    try:
        return point.load()
    except Exception as error:
        raise ConfigError(f"backend {point.name!r} cannot be loaded: {error}", field="backend.type") from error
