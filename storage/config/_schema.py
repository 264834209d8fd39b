"""The tables of a configuration, with upstream's keys and defaults (upstream: api/src/config.rs).

Keys of our own are ``mirrors`` (of the seed's version), S3's ``session_token`` and ``addressing_style``, and OSS's
``session_token``, ``region`` and ``signature_version``, and the file cache's ``dedup_db``, which nydusd takes from its
command line. A table of another type of backend is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from storage.config._section import Section, setting

__all__ = [
    "BackendConfig",
    "CacheConfig",
    "ConfigV2",
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
]

_MIB = 1 << 20
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, repr=False)
class ProxyConfig(Section):
    """A proxy between us and the origin: Dragonfly's, say."""

    url: str = ""
    ping_url: str = ""
    fallback: bool = True
    check_interval: int = 5
    use_http: bool = False
    check_pause_elapsed: int = 300
    dragonfly_scheduler_endpoint: str = ""


@dataclass(frozen=True, repr=False)
class MirrorConfig(Section):
    """Another host that has the same blobs."""

    host: str
    ping_url: str = ""
    headers: Mapping[str, str] = setting(factory=lambda: _NOTHING, secret=True)
    health_check_interval: int = 5
    failure_limit: int = setting(5, bits=8)


@dataclass(frozen=True, repr=False, kw_only=True)
class HttpConfig(Section):
    """What all backends over HTTP have; `retry_limit` is the backend's own where it is not given."""

    skip_verify: bool = False
    ca_cert_files: tuple[str, ...] = ()
    timeout: int = setting(5, bits=32)
    connect_timeout: int = setting(5, bits=32)
    retry_limit: int | None = setting(None, bits=8)
    proxy: ProxyConfig = ProxyConfig()
    mirrors: tuple[MirrorConfig, ...] = ()


@dataclass(frozen=True, repr=False)
class LocalDiskConfig(Section):
    """Partitions of a disk."""

    device_path: str = ""
    disable_gpt: bool = False


@dataclass(frozen=True, repr=False)
class LocalFsConfig(Section):
    """Files in folders."""

    blob_file: str = ""
    dir: str = ""
    alt_dirs: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class OssConfig(HttpConfig):
    """Objects in a bucket of Alibaba Cloud OSS."""

    endpoint: str
    bucket_name: str
    scheme: str = "https"
    object_prefix: str = ""
    access_key_id: str = setting("", secret=True)
    access_key_secret: str = setting("", secret=True)
    session_token: str = setting("", secret=True)
    region: str = ""
    signature_version: str = "v1"


@dataclass(frozen=True, repr=False)
class S3Config(HttpConfig):
    """Objects in a bucket of S3."""

    endpoint: str
    region: str
    bucket_name: str
    scheme: str = "https"
    object_prefix: str = ""
    access_key_id: str = setting("", secret=True)
    access_key_secret: str = setting("", secret=True)
    session_token: str = setting("", secret=True)
    addressing_style: str = "path"


@dataclass(frozen=True, repr=False)
class HttpProxyConfig(HttpConfig):
    """A local server that has blobs, over TCP or a unix socket."""

    addr: str
    path: str = ""


@dataclass(frozen=True, repr=False)
class RegistryConfig(HttpConfig):
    """A container registry; its scheme is found out where it is not given."""

    host: str
    repo: str
    scheme: str = ""
    auth: str | None = setting(None, secret=True)
    registry_token: str | None = setting(None, secret=True)
    blob_url_scheme: str = ""
    blob_redirected_host: str = ""


@dataclass(frozen=True, repr=False)
class BackendConfig(Section):
    """Where blobs come from; of the tables, that named by `type` counts."""

    type: str
    localdisk: LocalDiskConfig | None = None
    localfs: LocalFsConfig | None = None
    oss: OssConfig | None = None
    s3: S3Config | None = None
    registry: RegistryConfig | None = None
    http_proxy: HttpProxyConfig | None = setting(None, key="http-proxy")  # noqa: RUF009
    other: Mapping[str, Any] | None = setting(None, secret=True)


@dataclass(frozen=True, repr=False)
class ExternalBackendConfig(Section):
    """Settings to merge into those that an image has for its external blobs."""

    patch: Mapping[str, str]
    type: str
    config: Mapping[str, str] = setting(secret=True)


@dataclass(frozen=True, repr=False)
class PrefetchConfig(Section):
    """Reading ahead of users."""

    enable: bool = False
    threads: int = 8
    batch_size: int = _MIB
    bandwidth_limit: int = setting(0, bits=32)
    prefetch_all: bool = False
    stream_prefetch: bool = False


@dataclass(frozen=True, repr=False)
class FileCacheConfig(Section):
    """A cache in files."""

    work_dir: str = "."
    disable_indexed_map: bool = False
    enable_encryption: bool = False
    enable_convergent_encryption: bool = False
    encryption_key: str = setting("", secret=True)
    dedup_db: str = ""


@dataclass(frozen=True, repr=False)
class FsCacheConfig(Section):
    """A cache in the kernel."""

    work_dir: str = "."


@dataclass(frozen=True, repr=False)
class CacheConfig(Section):
    """Where chunks are kept."""

    type: str = ""
    compressed: bool = False
    validate: bool = False
    prefetch: PrefetchConfig = PrefetchConfig()
    filecache: FileCacheConfig | None = None
    fscache: FsCacheConfig | None = None

    @property
    def work_dir(self) -> str | None:
        """The cache's folder; None where nothing is kept."""
        section = {"filecache": self.filecache, "blobcache": self.filecache, "fscache": self.fscache}.get(self.type)
        return None if section is None else section.work_dir


@dataclass(frozen=True, repr=False)
class RafsConfig(Section):
    """The file system over it."""

    mode: str = "direct"
    batch_size: int = _MIB
    validate: bool = False
    enable_xattr: bool = False
    iostats_files: bool = False
    access_pattern: bool = False
    latest_read_files: bool = False
    prefetch: PrefetchConfig = PrefetchConfig()


@dataclass(frozen=True, repr=False)
class OverlayConfig(Section):
    """A writable layer."""

    upper_dir: str
    work_dir: str


@dataclass(frozen=True, repr=False)
class ConfigV2(Section):
    """A configuration, version 2. `metadata_path` is where the bootstrap is, if that is said here."""

    version: int = 2
    id: str = ""
    backend: BackendConfig | None = None
    external_backends: tuple[ExternalBackendConfig, ...] = ()
    cache: CacheConfig | None = None
    rafs: RafsConfig | None = None
    overlay: OverlayConfig | None = None
    metadata_path: str | None = None
