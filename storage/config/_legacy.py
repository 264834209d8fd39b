"""The legacy JSON of nydusd, and that of a cached blob, as tables of version 2 (upstream: api/src/config.rs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from storage.config._parse import Reading
from storage.config._schema import (
    BackendConfig,
    CacheConfig,
    ConfigV2,
    ExternalBackendConfig,
    FileCacheConfig,
    FsCacheConfig,
    HttpProxyConfig,
    LocalDiskConfig,
    LocalFsConfig,
    OssConfig,
    PrefetchConfig,
    RafsConfig,
    RegistryConfig,
    S3Config,
)
from storage.config._section import Section, setting
from storage.errors import ConfigError

__all__ = ["BACKEND_TABLES", "is_entry", "is_legacy", "is_legacy_blob", "read_entry", "read_legacy", "read_legacy_blob"]

_MIB = 1 << 20
BACKEND_TABLES: dict[str, tuple[str, type[Section]]] = {
    "localdisk": ("localdisk", LocalDiskConfig),
    "localfs": ("localfs", LocalFsConfig),
    "oss": ("oss", OssConfig),
    "s3": ("s3", S3Config),
    "registry": ("registry", RegistryConfig),
    "http-proxy": ("http_proxy", HttpProxyConfig),
}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, repr=False)
class _Backend(Section):
    type: str
    config: Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class _Cache(Section):
    type: str = ""
    compressed: bool = False
    config: Mapping[str, Any] | None = None
    validate: bool = False


@dataclass(frozen=True, repr=False)
class _Device(Section):
    backend: _Backend
    id: str = ""
    external_backends: tuple[ExternalBackendConfig, ...] = ()
    cache: _Cache = _Cache()


@dataclass(frozen=True, repr=False)
class _FsPrefetch(Section):
    enable: bool = False
    threads: int = setting(8, key="threads_count")
    batch_size: int = setting(_MIB, key="merging_size")
    bandwidth_limit: int = setting(0, key="bandwidth_rate", bits=32)
    prefetch_all: bool = True
    stream_prefetch: bool = False


@dataclass(frozen=True, repr=False)
class _Rafs(Section):
    device: _Device
    mode: str
    digest_validate: bool = False
    iostats_files: bool = False
    fs_prefetch: _FsPrefetch = _FsPrefetch(prefetch_all=False)
    enable_xattr: bool = False
    access_pattern: bool = False
    latest_read_files: bool = False
    amplify_io: int = _MIB


@dataclass(frozen=True, repr=False)
class _BlobPrefetch(Section):
    enable: bool
    threads_count: int
    merging_size: int
    bandwidth_rate: int = setting(bits=32)


@dataclass(frozen=True, repr=False)
class _BlobEntry(Section):
    backend_type: str
    backend_config: Mapping[str, Any]
    cache_type: str
    cache_config: Mapping[str, Any]
    id: str = ""
    external_backends: tuple[ExternalBackendConfig, ...] = ()
    prefetch_config: _BlobPrefetch | None = None
    metadata_path: str | None = None


@dataclass(frozen=True, repr=False)
class _Entry(Section):
    type: str
    id: str
    config: Mapping[str, Any] | None = None
    config_v2: Mapping[str, Any] | None = None
    domain_id: str = ""


def is_entry(raw: Mapping[str, Any]) -> bool:
    """Whether it is the entry of a cached blob, which has a configuration in it."""
    return "type" in raw and ("config" in raw or "config_v2" in raw)


def is_legacy(raw: Mapping[str, Any]) -> bool:
    """Whether it is nydusd's."""
    return "device" in raw


def is_legacy_blob(raw: Mapping[str, Any]) -> bool:
    """Whether it is that of a cached blob."""
    return "backend_type" in raw


def read_legacy(reading: Reading, raw: Mapping[str, Any]) -> ConfigV2:
    """What nydusd's legacy JSON says."""
    old = reading.table(_Rafs, raw)
    device, prefetch = old.device, PrefetchConfig(**vars(old.fs_prefetch))
    cache = _cache(reading, device.cache.type, device.cache.config, "device.cache.config")
    cache = replace(cache, compressed=device.cache.compressed, validate=device.cache.validate)
    if prefetch.enable:
        cache = replace(cache, prefetch=prefetch)
    return ConfigV2(
        id=device.id,
        backend=_backend(reading, device.backend.type, device.backend.config, "device.backend.config"),
        external_backends=device.external_backends,
        cache=cache,
        rafs=RafsConfig(
            mode=old.mode,
            batch_size=old.amplify_io,
            validate=old.digest_validate,
            enable_xattr=old.enable_xattr,
            iostats_files=old.iostats_files,
            access_pattern=old.access_pattern,
            latest_read_files=old.latest_read_files,
            prefetch=prefetch,
        ),
    )


def read_entry(reading: Reading, raw: Mapping[str, Any]) -> ConfigV2:
    """The configuration within the entry of a cached blob; that of version 2 where there are both."""
    entry = reading.table(_Entry, raw)
    if entry.config_v2 is not None:
        return reading.table(ConfigV2, entry.config_v2, "config_v2")
    return read_legacy_blob(reading, entry.config or {}, "config")


def read_legacy_blob(reading: Reading, raw: Mapping[str, Any], path: str = "") -> ConfigV2:
    """What the legacy JSON of a cached blob says; `path` is where it is."""
    old, within = reading.table(_BlobEntry, raw, path), f"{path}." if path else ""
    cache = _cache(reading, old.cache_type, old.cache_config, f"{within}cache_config")
    if (asked := old.prefetch_config) is not None:
        cache = replace(
            cache,
            prefetch=PrefetchConfig(
                asked.enable, asked.threads_count, asked.merging_size, asked.bandwidth_rate, prefetch_all=True
            ),
        )
    backend = _backend(reading, old.backend_type, old.backend_config, f"{within}backend_config")
    return ConfigV2(2, old.id, backend, old.external_backends, cache, metadata_path=old.metadata_path)


def _backend(reading: Reading, kind: str, raw: Mapping[str, Any], path: str) -> BackendConfig:
    if kind not in BACKEND_TABLES:
        return BackendConfig(kind, other=raw)
    name, table = BACKEND_TABLES[kind]
    tables: dict[str, Any] = {name: reading.table(table, raw, path)}
    return BackendConfig(kind, **tables)


def _cache(reading: Reading, kind: str, raw: Mapping[str, Any] | None, path: str) -> CacheConfig:
    given = _NOTHING if raw is None else raw
    if kind in ("blobcache", "filecache"):
        return CacheConfig(kind, filecache=reading.table(FileCacheConfig, given, path))
    if kind == "fscache":
        return CacheConfig(kind, fscache=reading.table(FsCacheConfig, given, path))
    if kind in ("", "dummycache"):
        return CacheConfig(kind)
    raise ConfigError(f"{kind!r} is no type of cache", field=path.removesuffix(".config") + ".type")
