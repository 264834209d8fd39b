"""From a configuration to a backend, and to a store."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.backend import S3, BlobBackend, HttpProxy, Link, LocalDisk, LocalFs, Oss, ThrottledBackend, open_plugin
from storage.backend.http import HttpOptions, MirrorOptions, ProxyOptions, Secret
from storage.backend.registry import Registry, RegistryOptions
from storage.backend.signing import Keys
from storage.cache import CacheKind
from storage.codec import PageCipher
from storage.config import (
    BackendConfig,
    CacheConfig,
    ConfigV2,
    ConfigWarning,
    FileCacheConfig,
    HttpConfig,
    PrefetchConfig,
    RafsConfig,
)
from storage.errors import ConfigError, UnsupportedError
from storage.events import Recorder
from storage.factory import open_store
from storage.fs import Rafs
from storage.image import Image
from storage.metrics import FsIoStats
from storage.plan import Policy, keep_all

__all__ = ["cache_kind", "open_backend", "open_configured"]

_MIN_BANDWIDTH = 16 << 20
_S3_ENDPOINT = "s3.amazonaws.com"


def open_backend(config: BackendConfig, recorder: Recorder | None = None) -> BlobBackend:
    """The backend that a configuration describes.

    Raises
    ------
    ConfigError, UnsupportedError
        If it cannot be had; names the key.
    """
    if config.type not in _OPENERS:
        return open_plugin(config.type, config.other or {})
    try:
        return _OPENERS[config.type](config, recorder)
    except ConfigError as error:
        if "field" not in error.where:
            raise
        where = error.where | {"field": f"backend.{config.type}.{error.where['field']}"}
        raise type(error)(error.message, **where) from error


def open_configured(
    image: str | Path | None,
    config: ConfigV2,
    *,
    cache_dir: str | Path | None = None,
    link: Link | None = None,
    plan: str = "exact",
    capacity: int | None = None,
    policy: Policy = keep_all,
    arena_of: Callable[[int], tuple[int, int]] = lambda chunks: (1, 1),
    recorder: Recorder | None = None,
) -> Rafs:
    """Open an image as a configuration says: its sections `backend`, `cache` and `rafs`.

    Keys that have no effect here are warned of, as `ConfigWarning`. Chunks are verified always.

    Parameters
    ----------
    image
        The bootstrap; None for that at ``metadata_path``.
    config
        The configuration.
    cache_dir
        In the place of the cache's ``work_dir``; without either nothing is kept.
    link, plan, capacity, policy, arena_of, recorder
        See `open_store`.

    Raises
    ------
    ConfigError, UnsupportedError
        If the configuration asks for what is not there.
    """
    place = image if image is not None else config.metadata_path
    if place is None:
        raise ConfigError("there is no bootstrap to open", field="metadata_path")
    _refuse(config)
    cache, prefetch = config.cache or CacheConfig(), _prefetch_of(config)
    folder = cache_dir if cache_dir is not None else cache.work_dir
    backend = opened = None if config.backend is None else open_backend(config.backend, recorder)
    if backend is not None and prefetch.enable and prefetch.bandwidth_limit:
        backend = ThrottledBackend(backend, max(prefetch.bandwidth_limit, _MIN_BANDWIDTH))
    rafs = open_store(
        place,
        cache_dir=folder,
        backend=backend,
        link=link,
        plan=plan,
        amplify_io=config.rafs.batch_size if config.rafs is not None else 1 << 20,
        kind=cache_kind(cache),
        capacity=capacity,
        policy=policy,
        arena_of=arena_of,
        recorder=recorder,
        prefetch_workers=prefetch.threads,
        stats=_stats_of(config.rafs or RafsConfig()),
    )
    if (close := getattr(opened, "close", None)) is not None:
        rafs.owned.append(close)
    if folder is not None and prefetch.enable:
        rafs.prefetch(_rows_to_prefetch(rafs.image, prefetch))
    return rafs


def cache_kind(config: CacheConfig) -> CacheKind:
    """In what form a configuration wants chunks kept.

    Raises
    ------
    ConfigError
        If its encryption key is none; names it.
    """
    files, cipher = config.filecache or FileCacheConfig(), None
    if files.enable_encryption:
        try:
            cipher = PageCipher(bytes.fromhex(files.encryption_key), files.enable_convergent_encryption)
        except (ConfigError, ValueError) as error:
            message = "is not a key: 64 hexadecimal digits are, the second half of which is not the first"
            raise ConfigError(message, field="cache.filecache.encryption_key") from error
    return CacheKind(
        compressed=config.compressed,
        validate=config.validate,
        cipher=cipher,
        disable_indexed_map=files.disable_indexed_map,
    )


def _stats_of(config: RafsConfig) -> FsIoStats:
    return FsIoStats(files=config.iostats_files, pattern=config.access_pattern, latest=config.latest_read_files)


def _prefetch_of(config: ConfigV2) -> PrefetchConfig:
    """The file system's prefetch if it is enabled, else the cache's."""
    if config.rafs is not None and config.rafs.prefetch.enable:
        return config.rafs.prefetch
    return config.cache.prefetch if config.cache is not None else PrefetchConfig()


def _rows_to_prefetch(image: Image, prefetch: PrefetchConfig) -> Sequence[int]:
    """All chunks, or those of the files that the image's prefetch table names, and below its folders."""
    if prefetch.prefetch_all:
        return range(len(image.chunks))
    inodes, left = set(), [int(row) for row in image.prefetch]
    while left:
        row = left.pop()
        if row not in inodes:
            inodes.add(row)
            if stat.S_ISDIR(int(image.inodes.mode[row])):
                left += [child for _, child in image.children(row)]
    chosen = np.isin(image.extents.inode, sorted(inodes))
    return np.unique(image.extents.chunk[chosen]).tolist()


def _refuse(config: ConfigV2) -> None:
    """Refuse what we cannot do; warn of what does nothing."""
    for field, why in _impossible(config):
        raise UnsupportedError(why, field=field)
    for field in _idle(config):
        warnings.warn(f"the configuration's key {field} has no effect here", ConfigWarning, stacklevel=3)


def _impossible(config: ConfigV2) -> Iterator[tuple[str, str]]:
    cache = config.cache or CacheConfig()
    if config.overlay is not None:
        yield "overlay", "images are read, not written to"
    if cache.type == "fscache":
        yield "cache.type", "the kernel's cachefiles are not driven from here: use filecache"


def _idle(config: ConfigV2) -> Iterator[str]:
    cache, prefetch = config.cache or CacheConfig(), _prefetch_of(config)
    if config.external_backends:
        yield "external_backends"  # nydusd carries them along, and opens none
    if cache.compressed and cache.filecache is not None and cache.filecache.enable_encryption:
        yield "cache.filecache.enable_encryption"  # raw data are kept as they are, by nydusd as well
    if prefetch.enable and prefetch.stream_prefetch:
        yield "prefetch.stream_prefetch"


def _http_options(config: HttpConfig) -> HttpOptions:
    if config.proxy.dragonfly_scheduler_endpoint:
        message = "Dragonfly's SDK mode is not spoken: name its proxy's url"
        raise ConfigError(message, field="proxy.dragonfly_scheduler_endpoint")
    proxy = {name: value for name, value in vars(config.proxy).items() if name != "dragonfly_scheduler_endpoint"}
    given: dict[str, Any] = {} if config.retry_limit is None else {"retry_limit": config.retry_limit}
    return HttpOptions(
        timeout=config.timeout,
        connect_timeout=config.connect_timeout,
        skip_verify=config.skip_verify,
        ca_cert_files=config.ca_cert_files,
        proxy=ProxyOptions(**proxy),
        mirrors=tuple(MirrorOptions(**vars(mirror)) for mirror in config.mirrors),
        **given,
    )


def _localfs(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.localfs
    assert table is not None
    return LocalFs(table.dir or None, blob_file=table.blob_file or None, alt_dirs=table.alt_dirs)


def _localdisk(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.localdisk
    assert table is not None
    return LocalDisk(table.device_path, disable_gpt=table.disable_gpt)


def _s3(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.s3
    assert table is not None
    return S3(
        table.bucket_name,
        region=table.region,
        endpoint=table.endpoint or _S3_ENDPOINT,
        scheme=table.scheme,
        prefix=table.object_prefix,
        keys=_keys(table.access_key_id, table.access_key_secret, table.session_token),
        style=table.addressing_style,
        options=_http_options(table),
        recorder=recorder,
    )


def _oss(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.oss
    assert table is not None
    if table.signature_version == "v4" and not table.region:
        raise ConfigError("is what signature version v4 needs", field="region")
    return Oss(
        table.bucket_name,
        table.endpoint,
        scheme=table.scheme,
        prefix=table.object_prefix,
        keys=_keys(table.access_key_id, table.access_key_secret, table.session_token),
        region=table.region if table.signature_version == "v4" else "",
        options=_http_options(table),
        recorder=recorder,
    )


def _http_proxy(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.http_proxy
    assert table is not None
    return HttpProxy(table.addr, table.path, options=_http_options(table), recorder=recorder)


def _registry(config: BackendConfig, recorder: Recorder | None) -> BlobBackend:
    table = config.registry
    assert table is not None
    options = RegistryOptions(
        table.host,
        table.repo,
        table.scheme,
        auth=Secret(table.auth or ""),
        registry_token=Secret(table.registry_token or ""),
        blob_url_scheme=table.blob_url_scheme,
        blob_redirected_host=table.blob_redirected_host,
        http=_http_options(table),
    )
    return Registry(options, recorder)


def _keys(key_id: str, secret: str, token: str) -> Keys | None:
    return Keys(key_id, secret, token) if key_id else None


_OPENERS: dict[str, Callable[[BackendConfig, Recorder | None], BlobBackend]] = {
    "http-proxy": _http_proxy,
    "localdisk": _localdisk,
    "localfs": _localfs,
    "oss": _oss,
    "registry": _registry,
    "s3": _s3,
}
