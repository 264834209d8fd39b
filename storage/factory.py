"""From an image and a few settings to a store that can be read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from storage.backend import BlobBackend, BlobReader, Link, LocalFs, ShapedBackend, Transfer
from storage.cache import FileCache
from storage.errors import CacheError, IntegrityError
from storage.events import Cause, Kind, Recorder
from storage.fs import Rafs
from storage.image import BlobMeta, Bootstrap, blob_meta_file, blob_meta_span, load_blob_meta_file, locate, open_bootstrap
from storage.image import read_blob_meta
from storage.device import BlobInfo
from storage.plan import Policy, keep_all, plan_options

__all__ = ["open_store"]


def open_store(
    image: str | Path,
    blobs: str | Path | None = None,
    *,
    cache_dir: str | Path,
    backend: BlobBackend | None = None,
    link: Link | None = None,
    plan: str = "exact",
    amplify_io: int = 1 << 20,
    capacity: int | None = None,
    policy: Policy = keep_all,
    arena: tuple[int, int] = (1, 1),
    recorder: Recorder | None = None,
    prefetch_workers: int = 1,
    journal: bool = False,
) -> Rafs:
    """Open an image for reading through a cache.

    Parameters
    ----------
    image, blobs
        A bootstrap and the folder of its blobs; see `storage.image.locate`.
    cache_dir
        Where chunks are kept.
    backend
        Where blobs come from; by default the folder of blobs.
    link
        A link to put the backend behind.
    plan, amplify_io
        See `storage.plan.plan_options`.
    capacity, policy, arena, prefetch_workers, journal
        See `FileCache`.
    recorder
        Where events go.

    Raises
    ------
    FormatError, BackendError, CacheError, ConfigError
        If the image, a blob or the cache folder is not usable.
    """
    located = locate(image, blobs)
    bootstrap = open_bootstrap(located.bootstrap)
    source: BlobBackend = LocalFs(located.blobs) if backend is None else backend
    if link is not None:
        source = ShapedBackend(source, link)
    readers = [source.get_reader(info.blob_id) for info in bootstrap.infos]
    folder = Path(cache_dir)
    metas = _blob_metas(bootstrap, readers, folder, recorder)
    opened = bootstrap.with_blob_meta(metas)
    cache = FileCache(
        folder,
        opened.infos,
        opened.blobs,
        opened.chunks,
        readers,
        plan_options(plan, amplify_io),
        capacity=capacity,
        policy=policy,
        arena=arena,
        recorder=recorder,
        prefetch_workers=prefetch_workers,
        journal=journal,
    )
    return Rafs(opened, cache)
