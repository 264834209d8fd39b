"""Algorithms that go by an id on disk and by a name elsewhere."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from storage.errors import ConfigError

__all__ = ["Named"]


class Named(IntEnum):
    """Ids with names: the members' own, in lower case."""

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The member called `name`.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(str(member) for member in cls)
            raise ConfigError(f"no {cls.__name__.lower()} is called {name!r}; there are {known}") from None

    def __str__(self) -> str:
        return self.name.lower()
