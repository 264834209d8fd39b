"""What a table of a configuration is: a frozen dataclass whose fields say how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any

from storage.masks import MASK, without_user

__all__ = ["Section", "key_of", "setting"]


def setting(
    default: Any = MISSING, *, factory: Any = MISSING, key: str = "", bits: int = 64, secret: bool = False
) -> Any:
    """A field that is written as `key`, holds unsigned integers of `bits`, or is never shown."""
    metadata = {"key": key, "bits": bits, "secret": secret}
    return field(default=default, default_factory=factory, metadata=metadata)


def key_of(place: Any) -> str:
    """How a field is called in files."""
    return place.metadata.get("key") or place.name


class Section:
    """A table. Wherever it is shown, secrets are masked."""

    def to_dict(self) -> dict[str, Any]:
        """The table as it would be written, without what is not set, secrets masked."""
        return {
            key_of(place): shown
            for place in fields(self)  # type: ignore[arg-type]
            if (shown := _shown(getattr(self, place.name), place.metadata.get("secret", False))) not in (None, {}, [])
        }

    def __repr__(self) -> str:
        changed = []
        for place in fields(self):  # type: ignore[arg-type]
            value = getattr(self, place.name)
            if value != place.default:
                shown = _shown(value, place.metadata.get("secret", False)) if not is_dataclass(value) else value
                changed.append(f"{place.name}={shown!r}")
        return f"{type(self).__name__}({', '.join(changed)})"


def _shown(value: Any, secret: bool) -> Any:
    if isinstance(value, Section):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_shown(item, secret) for item in value]
    if isinstance(value, Mapping):
        return {name: _shown(item, secret) for name, item in value.items()}
    if secret and value:
        return MASK
    is_path = not isinstance(value, str) or (value.startswith("/") and not value.startswith("//"))
    return value if is_path else without_user(value)
