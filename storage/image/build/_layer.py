"""From a layer on disk to an image, by the reference's names of conversions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from storage.errors import ConfigError, FormatError
from storage.image.build._build import BuildResult, build
from storage.image.build._chunk_list import ChunkList
from storage.image.build._node import Node, walk
from storage.image.build._open_tar import open_tar
from storage.image.build._partial import Partial
from storage.image.build._sink import Sink
from storage.image.build._stargz_ref import write_stargz, write_stargz_toc
from storage.image.build._tar_headers import tar_entries
from storage.image.build._tar_stream import TarStream
from storage.image.build._tar_tree import TarTree
from storage.image.build._tarfs import write_tarfs
from storage.image.build._zran_ref import write_zran

__all__ = ["CONVERSIONS", "build_layer", "build_stargz_toc", "guess_conversion"]

_REFERENCES = ("tar-tarfs", "targz-ref", "estargz-ref")
_STORED_ANEW = ("tar-rafs", "targz-rafs", "estargz-rafs")
CONVERSIONS = ("directory", *_STORED_ANEW, *_REFERENCES, "estargztoc-ref", "oci", "docker")

_DOCKER = re.compile(rb"blobs|[0-9a-f]{64}(\.json)?")

Written = tuple[Node, ChunkList, str, bytes]


def guess_conversion(source: str | Path) -> str:
    """What a source is to be built as, if nobody says.

    A folder may be an OCI layout, a tar what ``docker save`` writes; other tars are stored anew.
    """
    source = Path(source)
    if source.is_dir():
        return "oci" if (source / "oci-layout").is_file() and (source / "index.json").is_file() else "directory"
    with open_tar(source) as stream:
        first = next(tar_entries(stream), None)
    return "docker" if first is not None and first.parts and _DOCKER.fullmatch(first.parts[0]) else "tar-rafs"


def build_layer(
    source: str | Path,
    out: str | Path,
    *,
    conversion: str,
    compressor: str = "zstd",
    digester: str = "blake3",
    chunk_size: int = 1 << 20,
    version: int = 6,
    inline: bool = False,
    toc: bool = False,
    prefetch: Sequence[str] = (),
    prefetch_policy: str = "none",
    take: bool = True,
    progress: bool = False,
) -> BuildResult:
    """Build an image of a tar.

    Parameters
    ----------
    conversion
        ``tar-rafs``, ``targz-rafs`` and ``estargz-rafs`` store the files anew, whatever the tar is
        compressed with. ``targz-ref`` and ``estargz-ref`` take a gzip layer for the blob as it is, the latter
        in the chunks that its table of contents has, and ``tar-tarfs`` a plain tar; compressor and
        digester are given then.
    compressor, digester, chunk_size, version, progress
        See `build`.
    prefetch, prefetch_policy
        See `build`; of files that are stored anew.
    take
        Whether a layer that is the blob is copied to ``out/blobs``.
    inline, toc
        See `build`; where the layer is the blob, they are about the file beside it.

    Raises
    ------
    FormatError
        If the source is no tar, or not one of that kind.
    ConfigError
        If there is no such conversion, or `out` cannot be written.
    """
    if conversion not in (*_STORED_ANEW, *_REFERENCES):
        raise ConfigError(f"no tar is built as {conversion!r}: {', '.join((*_STORED_ANEW, *_REFERENCES))} are")
    if conversion in _STORED_ANEW:
        with open_tar(source) as stream:
            return build(
                TarTree(stream),
                out,
                compressor=compressor,
                digester=digester,
                chunk_size=chunk_size,
                version=version,
                inline=inline,
                toc=toc,
                prefetch=prefetch,
                prefetch_policy=prefetch_policy,
                progress=progress,
            )
    if version != 6:
        raise ConfigError("blobs that are tars or gzip layers are for RAFS v6", field="version")
    if conversion == "tar-tarfs":
        if inline or toc:
            raise ConfigError("a tarfs has no file for a bootstrap or contents to be in", field="inline")
        return _by_reference(Path(source), Path(out), partial(_tarfs, chunk_size=chunk_size), False, take)
    keep = write_stargz if conversion == "estargz-ref" else write_zran
    write = partial(keep, chunk_size=chunk_size, inline=inline, toc=toc)
    return _by_reference(Path(source), Path(out), write, inline, take)


def build_stargz_toc(
    source: str | Path, out: str | Path, *, blob_id: str, blob_size: int, chunk_size: int = 4 << 20
) -> BuildResult:
    """Build an image of a stargz layer that is elsewhere, from its ``stargz.index.json``.

    Parameters
    ----------
    blob_id, blob_size
        The layer's SHA-256 in hex, and its bytes.
    chunk_size
        For files that the table has in one chunk.

    Raises
    ------
    FormatError
        If the table is broken, or has chunks without digests.
    ConfigError
        If the id is none, or `out` cannot be written.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", blob_id) or blob_size <= 0:
        raise ConfigError("a layer's SHA-256 in hex and its bytes are wanted", field="blob_id")

    def write(table: IO[bytes], path: str, out: Sink) -> Written:
        return write_stargz_toc(table.read(), path, out, chunk_size, blob_id, blob_size)

    return _by_reference(Path(source), Path(out), write, inline=False, take=False)


def _tarfs(file: IO[bytes], path: str, out: Sink, chunk_size: int) -> Written:
    return write_tarfs(TarStream(file, path), chunk_size)


def _by_reference(
    source: Path, out: Path, write: Callable[[IO[bytes], str, Sink], Written], inline: bool, take: bool
) -> BuildResult:
    """The source becomes a blob as it is; what is written goes beside it."""
    blobs = out / "blobs"
    try:
        blobs.mkdir(parents=True, exist_ok=True)
        with Partial(blobs) as beside, _opened(source) as layer, Sink(beside.file) as sink:
            root, chunks, blob_id, image = write(layer, str(source), sink)
            sink.close()
            meta = blobs / sink.hexdigest() if sink.size else None
            beside.keep(meta)
        if take:
            _take(source, blobs / blob_id)
        if not inline:
            with Partial(out) as alone:
                alone.file.write(image)
                alone.keep(out / "bootstrap")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    return BuildResult(
        bootstrap=meta if inline and meta else out / "bootstrap",
        blob=blobs / blob_id if len(chunks) else None,
        files=1 + sum(1 for _ in walk(root)),
        chunks=len(chunks),
        duplicates=chunks.duplicates,
        plain_bytes=sum(chunks.uncompressed_size),
        blob_bytes=source.stat().st_size,
    )


def _opened(source: Path) -> IO[bytes]:
    try:
        return source.open("rb")
    except OSError as error:
        raise FormatError(f"the layer cannot be read: {error.strerror}", path=source) from error


def _take(source: Path, place: Path) -> None:
    if place.exists():
        return
    with Partial(place.parent) as copy, source.open("rb") as layer:
        shutil.copyfileobj(layer, copy.file, 1 << 20)
        copy.keep(place)
