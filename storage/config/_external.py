"""Backends of blobs that an image keeps outside: what it says of them, and what a configuration adds.

An image says it in ``backend.json`` beside its bootstrap (upstream: contrib/nydusify/pkg/snapshotter/external);
``external_backends`` of a configuration is merged into that (upstream: api/src/config.rs).
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from storage.config._legacy import BACKEND_TABLES
from storage.config._parse import Reading
from storage.config._schema import BackendConfig, ExternalBackendConfig
from storage.config._section import key_of
from storage.config._validate import validate_backend
from storage.errors import ConfigError

__all__ = ["External", "external_backends", "read_external", "unknown_keys"]

_MAX_BYTES = 4 << 20
_FIELD = "external_backends"


class External(NamedTuple):
    """What an image says of its external blobs.

    Attributes
    ----------
    backends
        Type and settings of each; those of a registry that says no more are of the image's own.
    blobs
        Which of them has a blob, by the blob's id.
    """

    backends: tuple[ExternalBackendConfig, ...]
    blobs: Mapping[str, int]


def read_external(path: Path) -> External | None:
    """What the file says; None if it is not there.

    Raises
    ------
    ConfigError
        If it is broken; names it.
    """
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("cannot be read", path=path) from error
    try:
        backends = tuple(_said(entry) for entry in raw["backends"])
        named = [(str(one["config"]["digest"]), int(one["backend"])) for one in raw["blobs"] or ()]
        blobs = {digest.removeprefix("sha256:"): number for digest, number in named}
        if not all(0 <= number < len(backends) for number in blobs.values()):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError("does not say which backends have which blobs", path=path) from error
    return External(backends, blobs)


def _said(entry: Mapping[str, Any]) -> ExternalBackendConfig:
    given = {str(key): str(value) for key, value in (entry.get("config") or {}).items()}
    return ExternalBackendConfig(MappingProxyType({}), str(entry["type"]), MappingProxyType(given))


def external_backends(
    given: Iterable[ExternalBackendConfig], said: External | None = None
) -> tuple[list[BackendConfig | None], list[int]]:
    """The backends of external blobs, in the image's order; and which of `given` have no part in them.

    An entry of the configuration belongs to those backends of the image that are of its type and have all that its
    ``patch`` names; its ``config`` goes over theirs. Where the image names none, each entry is a backend.

    Returns
    -------
    tuple
        None stands for a registry of which nothing is said: the image's own.

    Raises
    ------
    ConfigError
        If something is missing or not of its type; names the key.
    """
    entries = list(given)
    if said is None:
        return [_typed(one.type, {**one.patch, **one.config}, number) for number, one in enumerate(entries)], []
    used, made = set[int](), list[BackendConfig | None]()
    for backend in said.backends:
        config, last = dict(backend.config), 0
        for number, one in enumerate(entries):
            if one.type == backend.type and one.patch.items() <= backend.config.items():
                used.add(number)
                config, last = {**config, **one.config}, number
        made.append(_typed(backend.type, config, last) if config or backend.type != "registry" else None)
    return made, [number for number in range(len(entries)) if number not in used]


def _typed(kind: str, texts: Mapping[str, str], number: int) -> BackendConfig:
    """A backend of settings that are all texts: numbers, truths and lists among them are in JSON."""
    if kind not in BACKEND_TABLES:
        return BackendConfig(kind, other=texts)
    name, table = BACKEND_TABLES[kind]
    hints, path = typing.get_type_hints(table), f"{_FIELD}[{number}].config"
    values: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            values[key] = text if _is_text(hints.get(key, str)) else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError("is not a value in JSON", field=f"{path}.{key}") from error
    tables: dict[str, Any] = {name: Reading().table(table, values, path)}
    backend = BackendConfig(kind, **tables)
    validate_backend(backend, path)
    return backend


def _is_text(hint: Any) -> bool:
    return hint is str or (typing.get_origin(hint) is types.UnionType and str in typing.get_args(hint))


def unknown_keys(given: Iterable[ExternalBackendConfig]) -> list[str]:
    """Paths of settings that their types of backend do not have."""
    found = []
    for number, one in enumerate(given):
        table = BACKEND_TABLES.get(one.type)
        if table is not None:
            known = {key_of(place) for place in table[1].__dataclass_fields__.values()}  # type: ignore[attr-defined]
            found += [f"{_FIELD}[{number}].config.{key}" for key in one.config if key not in known]
    return found
