"""Tables out of what a JSON or TOML parser returned: every value of its type, every key known or named."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from storage.config._section import Section, key_of
from storage.errors import ConfigError

__all__ = ["ConfigWarning", "Reading"]

_Table = TypeVar("_Table", bound=Section)
_WORDS: dict[Any, str] = {str: "a text", bool: "true or false", int: "a number", Mapping: "a table", tuple: "a list"}


class ConfigWarning(UserWarning):
    """A key that is not known, or has no effect here."""


@dataclass
class Reading:
    """One reading of a file.

    Attributes
    ----------
    unknown
        Paths of keys that no table has.
    """

    unknown: list[str] = field(default_factory=list)

    def table(self, kind: type[_Table], raw: Any, path: str = "") -> _Table:
        """A table of its kind; `path` says where it is.

        Raises
        ------
        ConfigError
            If a value is not of its type or a key is missing; names the key.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError("is not a table", field=path or None)
        hints, values = typing.get_type_hints(kind), {}
        known = {key_of(place): place for place in fields(kind)}  # type: ignore[arg-type]
        for key, place in known.items():
            here = _join(path, key)
            if key in raw:
                values[place.name] = self._value(hints[place.name], raw[key], here, place.metadata)
            elif place.default is MISSING and place.default_factory is MISSING:
                raise ConfigError("is missing", field=here)
        self.unknown += [_join(path, str(key)) for key in raw if key not in known]
        return kind(**values)

    def _value(self, hint: Any, raw: Any, path: str, options: Mapping[str, Any]) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            if raw is None:
                return None
            hint = arguments[0]
            origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if isinstance(hint, type) and issubclass(hint, Section):
            return self.table(hint, raw, path)
        if origin is tuple:
            items = _checked(list, raw, path, "a list")
            return tuple(self._value(arguments[0], item, f"{path}[{n}]", options) for n, item in enumerate(items))
        if origin is not None:
            items = _checked(Mapping, raw, path, "a table")
            return MappingProxyType(
                {
                    str(name): self._value(arguments[1], item, _join(path, str(name)), options)
                    for name, item in items.items()
                }
            )
        if hint is int:
            return _number(raw, path, options.get("bits", 64))
        return raw if hint is Any else _checked(hint, raw, path, _WORDS[hint])


def _checked(kind: Any, raw: Any, path: str, what: str) -> Any:
    if not isinstance(raw, kind):
        raise ConfigError(f"is not {what}", field=path)
    return raw


def _number(raw: Any, path: str, bits: int) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ConfigError("is not a number", field=path)
    if not 0 <= raw < 1 << bits:
        raise ConfigError(f"is not a number from 0 to {(1 << bits) - 1}", field=path)
    return raw


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
