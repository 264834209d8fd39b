"""Whether a configuration makes sense: what upstream checks, and what a backend or a cache needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from storage.config._schema import BackendConfig, CacheConfig, ConfigV2, PrefetchConfig
from storage.config._section import Section, key_of
from storage.errors import ConfigError

__all__ = ["validate", "validate_backend"]

_MAX_BATCH = 0x1000_0000
_MAX_THREADS = 1024


def validate(config: ConfigV2) -> None:
    """What upstream checks, and says no more of than that it is invalid."""
    if config.version != 2:
        raise ConfigError(f"version {config.version} is not 2", field="version")
    if config.backend is not None:
        validate_backend(config.backend)
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


def validate_backend(backend: BackendConfig, within: str = "") -> None:
    """What a type of backend cannot do without; `within` is where the table is, if not in a configuration's own."""
    if backend.type not in _NEEDED:
        return
    path = within or f"backend.{backend.type}"
    table = next(getattr(backend, place.name) for place in fields(backend) if key_of(place) == backend.type)
    _require(isinstance(table, Section), "is missing", path)
    for key, value in _NEEDED[backend.type](table).items():
        _require(bool(value), "is empty", f"{path}.{key}")
    for key, choices in _ONE_OF.items():
        value = getattr(table, key, choices[0]) or (choices[0] if backend.type == "registry" else "")
        _require(value in choices, f"is not one of {', '.join(choices)}", f"{path}.{key}")
    if backend.type == "http-proxy":
        is_address = table.addr.startswith(("http://", "https://", "/")) and not table.addr.startswith("//")
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
