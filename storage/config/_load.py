"""Reading configurations: which format it is, which keys are unknown, and whether it makes sense."""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.config._external import unknown_keys
from storage.config._legacy import is_entry, is_legacy, is_legacy_blob, read_entry, read_legacy, read_legacy_blob
from storage.config._parse import ConfigWarning, Reading
from storage.config._schema import BackendConfig, ConfigV2
from storage.config._validate import validate
from storage.errors import ConfigError

__all__ = ["load_config", "parse_config"]

_MAX_BYTES = 1 << 20


def load_config(path: str | Path, *, strict: bool = False) -> ConfigV2:
    """A configuration from a file; see `parse_config`."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the configuration cannot be read: {error.strerror}", path=path) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError("the configuration is longer than 1 MiB", path=path)
    try:
        return parse_config(data.decode(), strict=strict)
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration is not UTF-8", path=path, offset=error.start) from error
    except ConfigError as error:
        raise ConfigError(error.message, path=path, **error.where) from error


def parse_config(text: str, *, strict: bool = False) -> ConfigV2:
    r"""A configuration from its text: ConfigV2 in TOML or JSON, or the legacy JSON of nydusd or of a cached blob.

    Unknown keys are warned of, as `ConfigWarning`.

    Parameters
    ----------
    text
        The file's content.
    strict
        Take unknown keys for errors.

    Raises
    ------
    ConfigError
        If it is neither JSON nor TOML, a value is not of its type or out of range, or what the type of
        backend or cache needs is not there; names the key, and never shows a value that may be secret.

    Examples
    --------
    >>> parse_config('version = 2\nbackend.type = "localfs"\nbackend.localfs.dir = "blobs"').backend
    BackendConfig(type='localfs', localfs=LocalFsConfig(dir='blobs'))
    """
    raw, reading = _decode(text), Reading()
    config = _read(reading, raw)
    validate(config)
    reading.unknown += unknown_keys(config.external_backends)
    if reading.unknown and strict:
        raise ConfigError("no such key", field=", ".join(reading.unknown))
    for key in reading.unknown:
        warnings.warn(f"the configuration's key {key} is not known, and ignored", ConfigWarning, stacklevel=2)
    return config


def _decode(text: str) -> Mapping[str, Any]:
    try:
        raw = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"the configuration is not JSON: {error.msg}", offset=error.pos) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the configuration is not TOML: {error}") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError("the configuration is nested too deep, or has a number that is too long") from error
    return raw


def _read(reading: Reading, raw: Mapping[str, Any]) -> ConfigV2:
    if is_legacy(raw):
        return read_legacy(reading, raw)
    if is_legacy_blob(raw):
        return read_legacy_blob(reading, raw)
    if is_entry(raw):
        return read_entry(reading, raw)
    if "version" not in raw:
        raise ConfigError("is missing", field="version")
    config = reading.table(ConfigV2, raw)
    if config.backend is None or not isinstance(raw["backend"], Mapping):
        return config
    return replace(config, backend=_with_other(reading, config.backend, raw["backend"]))


def _with_other(reading: Reading, backend: BackendConfig, raw: Mapping[str, Any]) -> BackendConfig:
    """The table of a type that we do not know is that type's business."""
    path = f"backend.{backend.type}"
    if path not in reading.unknown:
        return backend
    reading.unknown.remove(path)
    table = raw[backend.type]
    if not isinstance(table, Mapping):
        raise ConfigError("is not a table", field=path)
    return replace(backend, other=table)
