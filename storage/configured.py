"""From a configuration to a backend, and to a store."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from storage.backend import Link, MeteredBackend, RoutedBackend
from storage.cache import CacheKind
from storage.codec import PageCipher
from storage.config import CacheConfig, ConfigV2, ConfigWarning, FileCacheConfig, PrefetchConfig, RafsConfig
from storage.errors import ConfigError, UnsupportedError
from storage.events import Recorder
from storage.external import with_external
from storage.factory import default_backend, open_store
from storage.fs import Rafs
from storage.image import Located, locate
from storage.metrics import FsIoStats
from storage.openers import open_backend, open_external
from storage.plan import Policy, keep_all

__all__ = ["cache_kind", "open_backend", "open_backends", "open_configured"]


def open_configured(
    image: str | Path | None,
    config: ConfigV2,
    *,
    cache_dir: str | Path | None = None,
    files: Sequence[str] | None = None,
    link: Link | None = None,
    plan: str = "exact",
    capacity: int | None = None,
    watermarks: tuple[int, int] | None = None,
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
    files
        What to prefetch in the place of the image's prefetch table, if the configuration enables it.
    link, plan, capacity, watermarks, policy, arena_of, recorder
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
    located = locate(place)
    folder = cache_dir if cache_dir is not None else cache.work_dir
    opened = open_backends(located, config, recorder)
    rafs = open_store(
        located,
        cache_dir=folder,
        backend=opened,
        link=link,
        plan=plan,
        amplify_io=config.rafs.batch_size if config.rafs is not None else 1 << 20,
        kind=cache_kind(cache),
        capacity=capacity,
        watermarks=watermarks,
        policy=policy,
        arena_of=arena_of,
        recorder=recorder,
        prefetch_workers=prefetch.threads,
        stats=_stats_of(config.rafs or RafsConfig()),
        prefetch_batch=prefetch.batch_size,
        prefetch_bandwidth=prefetch.bandwidth_limit,
        dedup=(cache.filecache.dedup_db or None) if cache.filecache is not None else None,
    )
    rafs.owned.append(opened.close)
    if folder is not None and prefetch.enable:
        if prefetch.stream_prefetch:
            rafs.prefetch_streams()
        else:
            rafs.prefetch_files(files, prefetch.prefetch_all)
    return rafs


def open_backends(image: Located, config: ConfigV2, recorder: Recorder | None = None) -> MeteredBackend | RoutedBackend:
    """All that a configuration says of where an image's blobs are: its backend, and those of external blobs.

    Without a section `backend` it is the image's own; see `storage.factory.default_backend`.

    Raises
    ------
    ConfigError, UnsupportedError
        If one cannot be had; names the key.
    """
    named = config.backend
    backend = default_backend(image, None, recorder) if named is None else open_backend(named, recorder)
    return with_external(image, config, backend, lambda one: open_external(one, recorder))


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
    cache = config.cache or CacheConfig()
    if cache.compressed and cache.filecache is not None and cache.filecache.enable_encryption:
        yield "cache.filecache.enable_encryption"  # raw data are kept as they are, by nydusd as well
