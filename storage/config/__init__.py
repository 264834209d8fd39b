"""Configurations: nydus's ConfigV2 in TOML or JSON, and the legacy JSON of nydusd."""

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
    "load_config",
    "parse_config",
]
