"""Reading configurations: which format it is, which keys are unknown, and whether it makes sense."""

from __future__ import annotations

import json
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from storage.config._legacy import is_legacy, is_legacy_blob, read_legacy, read_legacy_blob
from storage.config._parse import ConfigWarning, Reading
from storage.config._schema import BackendConfig, CacheConfig, ConfigV2, PrefetchConfig
from storage.config._section import Section, key_of
from storage.errors import ConfigError

__all__ = ["load_config", "parse_config"]

_MAX_BYTES = 1 << 20
_MAX_BATCH = 0x1000_0000
_MAX_THREADS = 1024


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
    _validate(config)
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


def _validate(config: ConfigV2) -> None:
    """What upstream checks, and says no more of than that it is invalid."""
    if config.version != 2:
        raise ConfigError(f"version {config.version} is not 2", field="version")
    if config.backend is not None:
        _validate_backend(config.backend)
    if config.cache is not None:
        _validate_cache(config.cache)
    if config.rafs is not None:
        _require(config.rafs.mode in ("direct", "cached"), "is neither direct nor cached", "rafs.mode")
        _require(config.rafs.batch_size <= _MAX_BATCH, "is more than 256 MiB", "rafs.batch_size")
        _validate_prefetch(config.rafs.prefetch, "rafs.prefetch")


_NEEDED: dict[str, Callable[[Any], dict[str, object]]] = {
    "localdisk": lambda table: {"device_path": table.device_path},
    "localfs": lambda table: {"dir": table.dir or table.blob_file},
    "oss": lambda table: {"endpoint": table.endpoint, "bucket_name": table.bucket_name},
    "s3": lambda table: {"region": table.region, "bucket_name": table.bucket_name},
    "registry": lambda table: {"host": table.host, "repo": table.repo},
    "http-proxy": lambda table: {"addr": table.addr},
}
_ONE_OF = {"scheme": ("http", "https"), "addressing_style": ("path", "virtual"), "signature_version": ("v1", "v4")}


def _validate_backend(backend: BackendConfig) -> None:
    if backend.type not in _NEEDED:
        return
    path = f"backend.{backend.type}"
    table = next(getattr(backend, place.name) for place in fields(backend) if key_of(place) == backend.type)
    _require(isinstance(table, Section), "is missing", path)
    for key, value in _NEEDED[backend.type](table).items():
        _require(bool(value), "is empty", f"{path}.{key}")
    for key, choices in _ONE_OF.items():
        value = getattr(table, key, choices[0]) or (choices[0] if backend.type == "registry" else "")
        _require(value in choices, f"is not one of {', '.join(choices)}", f"{path}.{key}")
    if backend.type == "http-proxy":
        is_address = table.addr.startswith(("http://", "https://", "/"))
        _require(is_address, "is neither a URL nor the path of a socket", f"{path}.addr")


def _validate_cache(cache: CacheConfig) -> None:
    known = cache.type in ("", "dummycache", "blobcache", "filecache", "fscache")
    _require(known, f"{cache.type!r} is no type of cache", "cache.type")
    if cache.type not in ("", "dummycache"):
        table = "fscache" if cache.type == "fscache" else "filecache"
        _require(getattr(cache, table) is not None, "is missing", f"cache.{table}")
        _require(bool(cache.work_dir), "is empty", f"cache.{table}.work_dir")
    _validate_prefetch(cache.prefetch, "cache.prefetch")


def _validate_prefetch(prefetch: PrefetchConfig, path: str) -> None:
    if prefetch.enable:
        _require(prefetch.batch_size <= _MAX_BATCH, "is more than 256 MiB", f"{path}.batch_size")
        _require(0 < prefetch.threads <= _MAX_THREADS, "is not a number from 1 to 1024", f"{path}.threads")


def _require(holds: bool, what: str, path: str) -> None:
    if not holds:
        raise ConfigError(what, field=path)
