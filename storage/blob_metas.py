"""What blobs say of their own chunks: from the cache folder, else fetched and kept there."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from storage.backend import BlobReader
from storage.cache.folder import check_owner
from storage.device import BlobInfo
from storage.errors import BackendError, CacheError, FormatError, MissingBlobError
from storage.events import Cause, Kind, Recorder
from storage.image import BlobMeta, Bootstrap, blob_meta_span, chunk_digests, load_blob_meta_file, read_blob_meta

__all__ = ["blob_metas"]

_log = logging.getLogger("storage.cache")

# nydusd tries five times, and waits 0.4 s and then twice as long each time; backends over HTTP try again by themselves.
_TRIES, _DELAY_S = 5, 0.02


def blob_metas(
    bootstrap: Bootstrap, readers: Sequence[BlobReader], folder: Path | None, recorder: Recorder | None
) -> list[BlobMeta | None]:
    """Each blob's ``blob.meta``, None for one that has none.

    With ``blob.digest``, where the bootstrap does not name all chunks' digests.

    Parameters
    ----------
    readers
        One for each blob, of the file that ends with its ``blob.meta``.
    folder
        The cache's; None to keep nothing.

    Raises
    ------
    BackendError, FormatError
        If one cannot be fetched, or is broken.
    CacheError
        If the folder is another image's, or cannot be used.
    """
    infos, blob = bootstrap.infos, bootstrap.records["blob_index"]
    named = np.bincount(blob[blob < len(infos)], minlength=len(infos))
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            check_owner(folder, infos)
        sources = [_Source(info, reader, recorder) for info, reader in zip(infos, readers, strict=True)]
        metas = [None if source.info.is_told_by_bootstrap else _meta(source, folder) for source in sources]
        return [
            meta if meta is None or count >= source.info.chunk_count else _with_digests(meta, source, folder)
            for meta, source, count in zip(metas, sources, named.tolist(), strict=True)
        ]
    except OSError as error:
        raise CacheError(f"the cache folder cannot be used: {error.strerror}", path=folder) from error


class _Source:
    """A blob, read with a row for each request."""

    def __init__(self, info: BlobInfo, reader: BlobReader, recorder: Recorder | None) -> None:
        self.info, self._reader, self._recorder = info, reader, recorder

    @property
    def size(self) -> int:
        return self._reader.blob_size()

    def read(self, offset: int, length: int) -> memoryview:
        raw = memoryview(bytearray(length))
        start = time.monotonic_ns()
        transfer = self._reader.read_into(raw, offset)
        if self._recorder is not None:
            index, duration = self.info.blob_index, time.monotonic_ns() - start
            where = {"fetch_id": index, "blob": index, "offset": offset, "length": length}
            self._recorder.log(kind=Kind.REQUEST, t_ns=start, dur_ns=duration, ttfb_ns=transfer.ttfb_ns, **where)
            self._recorder.log(kind=Kind.FETCH, cause=Cause.META, t_ns=start, **where)
        return raw


def _meta(source: _Source, folder: Path | None) -> BlobMeta:
    if folder is None:
        return _fetched(source)
    path = folder / f"{source.info.blob_id}.blob.meta"
    if path.exists():
        try:
            return load_blob_meta_file(path.read_bytes(), source.info)
        except FormatError as error:
            raise CacheError(f"{error.message}: remove it", path=path) from error
    meta = _fetched(source)
    _keep(path, meta.content)
    return meta


def _fetched(source: _Source) -> BlobMeta:
    """From the backend; tried again when the line is bad, or spoils it."""
    offset, length = blob_meta_span(source.info)
    for tries in itertools.count(1):
        try:
            if offset + length > source.size:
                raise FormatError("the blob ends before its blob.meta does", blob=source.info.blob_id, offset=offset)
            return read_blob_meta(source.read(offset, length), source.info)
        except MissingBlobError:
            raise
        except BackendError:
            if tries == _TRIES:
                raise
        except FormatError:
            if tries == 2:
                raise
        time.sleep(_DELAY_S * 2**tries)
    raise AssertionError("unreachable")


def _with_digests(meta: BlobMeta, source: _Source, folder: Path | None) -> BlobMeta:
    """With ``blob.digest``, where the blob has one; kept under nydusd's name."""
    info = source.info
    path = None if folder is None else folder / f"{info.blob_id}.blob.digest"
    if path is not None and path.exists() and path.stat().st_size == info.chunk_count * 32:
        return replace(meta, digests=np.fromfile(path, np.uint8).reshape(-1, 32))
    digests = chunk_digests(lambda offset, length: bytes(source.read(offset, length)), source.size, info)
    if digests is not None and path is not None:
        _keep(path, digests.tobytes())
    return meta if digests is None else replace(meta, digests=digests)


def _keep(path: Path, content: bytes) -> None:
    """Keep a file, if there is room and it is allowed."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        _log.warning("cannot be kept: %s (path %s); it is fetched again next time", error.strerror, path)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
