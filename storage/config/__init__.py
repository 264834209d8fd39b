"""Configurations: nydus's ConfigV2 in TOML or JSON, and the legacy JSON of nydusd."""

from storage.config._external import External, external_backends, read_external
from storage.config._load import load_config, parse_config
from storage.config._parse import ConfigWarning
from storage.config._schema import (
    BackendConfig,
    CacheConfig,
    ConfigV2,
    ExternalBackendConfig,
    FileCacheConfig,
    FsCacheConfig,
    HttpConfig,
    HttpProxyConfig,
    LocalDiskConfig,
    LocalFsConfig,
    MirrorConfig,
    OssConfig,
    OverlayConfig,
    PrefetchConfig,
    ProxyConfig,
    RafsConfig,
    RegistryConfig,
    S3Config,
)

__all__ = [
    "BackendConfig",
    "CacheConfig",
    "ConfigV2",
    "ConfigWarning",
    "External",
    "ExternalBackendConfig",
    "FileCacheConfig",
    "FsCacheConfig",
    "HttpConfig",
    "HttpProxyConfig",
    "LocalDiskConfig",
    "LocalFsConfig",
    "MirrorConfig",
    "OssConfig",
    "OverlayConfig",
    "PrefetchConfig",
    "ProxyConfig",
    "RafsConfig",
    "RegistryConfig",
    "S3Config",
    "external_backends",
    "load_config",
    "parse_config",
    "read_external",
]
