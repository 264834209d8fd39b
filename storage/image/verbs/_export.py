"""Exporting a v6 image as a block image that the kernel's EROFS driver mounts: no chunk is compressed any more.

Source: nydus ``service/src/block_device.rs``; Linux ``fs/erofs/super.c``, which takes blobs from where their
device slots map them if it is given no devices.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.errors import ConfigError, FormatError, UnsupportedError
from storage.image._chunk_reader import ChunkReader
from storage.image._image import Image
from storage.image._locate import locate
from storage.image._ondisk import DEVICE_SLOT, SUPER_BLOCK, SUPER_OFFSET
from storage.image._open import open_image
from storage.image._source import BlobSource
from storage.image._super import table_at
from storage.image.verbs._deep import runs
from storage.image.verbs._verity import Verity, append_hash_tree
from storage.progress import progress_bar

__all__ = ["Exported", "Mapped", "block_map", "export_block", "export_devices"]

_AHEAD = 8
_MAX_BLOCKS = (1 << 32) - 1


class Mapped(NamedTuple):
    """Where a blob lies in a block image: bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes
    ----------
    path
        The block image.
    size
        Its bytes, holes included, without the hash tree.
    verity
        How it is verified, if that was asked for.
    """

    path: Path
    size: int
    verity: Verity | None = None


def block_map(image: Image) -> list[Mapped]:
    """Where the device slots map each blob; the bootstrap itself lies at 0.

    Raises
    ------
    UnsupportedError
        If it is a v5 image, which is not one of EROFS.
    FormatError
        If a blob overlaps another or the bootstrap.
    """
    if image.version != 6:
        raise UnsupportedError(f"is a RAFS v{image.version} image: only v6 ones are block images", field="version")
    block = np.frombuffer(image.data, SUPER_BLOCK, 1, SUPER_OFFSET)[0]
    unit = 1 << int(block["block_bits"])
    span = (int(block["device_slot"]) * DEVICE_SLOT.itemsize, len(image.infos) * DEVICE_SLOT.itemsize)
    end, found = len(image.data), []
    for info, slot in zip(image.infos, table_at(image.data, DEVICE_SLOT, span, "device_slot"), strict=True):
        mapped = Mapped(int(slot["mapped_block"]) * unit, info.uncompressed_size // unit * unit)
        if mapped.offset < end:
            raise FormatError("a blob is mapped over what lies before it", blob=info.blob_id, offset=mapped.offset)
        end = mapped.offset + mapped.size
        if end > _MAX_BLOCKS * unit:
            raise FormatError("a blob is mapped past the end of any device", blob=info.blob_id, offset=mapped.offset)
        found.append(mapped)
    return found


def export_block(
    path: str | Path,
    out: str | Path,
    blobs: str | Path | BlobSource | None = None,
    *,
    verity: bool = False,
    progress: bool = False,
) -> Exported:
    """Write an image and all its blobs as one block image: ``mount -t erofs``.

    Parameters
    ----------
    path, blobs
        See `storage.image.locate`.
    out
        The file to write; sparse where nothing lies.
    verity
        Whether to put a hash tree behind it.
    progress
        Whether to show a bar, if it takes long.

    Raises
    ------
    UnsupportedError, FormatError
        See `block_map`.
    MissingBlobError, IntegrityError
        If a chunk cannot be read, or is not what the image says.
    ConfigError
        If `out` cannot be written.
    """
    located, image, out = locate(path, blobs), open_image(path, blobs), Path(out)
    mapped = block_map(image)
    end = mapped[-1].offset + mapped[-1].size if mapped else len(image.data)
    size = -(-end // 4096) * 4096
    partial = out.with_name(f".partial-{out.name}")
    try:
        with partial.open("w+b") as file:
            file.write(image.data.tobytes())
            file.truncate(size)
            file.flush()
            places = [(file.fileno(), blob.offset) for blob in mapped]
            _write_chunks(image, located.blobs, places, progress)
            tree = append_hash_tree(file, size) if verity else None
        partial.replace(out)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    finally:
        partial.unlink(missing_ok=True)
    return Exported(out, size, tree)


def export_devices(
    path: str | Path, out: str | Path, blobs: str | Path | BlobSource | None = None, *, progress: bool = False
) -> list[Path]:
    """Write an image's bootstrap, and each blob uncompressed, to a folder: ``mount -t erofs -o device=…``.

    Returns
    -------
    list of Path
        ``out/bootstrap``, and the blobs' files in the order of the blob table.

    Raises
    ------
    UnsupportedError, FormatError, MissingBlobError, IntegrityError, ConfigError
        See `export_block`.
    """
    located, image, out = locate(path, blobs), open_image(path, blobs), Path(out)
    block_map(image)
    files = [out / f"{info.blob_id}.blob.data" for info in image.infos]
    descriptors: list[int] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bootstrap").write_bytes(image.data.tobytes())
        for file, info in zip(files, image.infos, strict=True):
            descriptors.append(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644))
            os.ftruncate(descriptors[-1], info.uncompressed_size)
        _write_chunks(image, located.blobs, [(descriptor, 0) for descriptor in descriptors], progress)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=out) from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return [out / "bootstrap", *files]


def _write_chunks(image: Image, blobs: Path | BlobSource, places: Iterable[tuple[int, int]], progress: bool) -> None:
    """Write every chunk to the file and base offset of its blob."""
    places = list(places)
    total = int(image.chunks.uncompressed_size.sum())
    waiting: deque[Future[int]] = deque()
    with (
        ChunkReader(image, blobs) as reader,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        progress_bar(progress, total, "export") as move,
    ):
        for rows in runs(image.chunks):
            waiting.append(pool.submit(_write_run, image, reader, rows, *places[int(image.chunks.blob[rows.start])]))
            if len(waiting) > _AHEAD:
                move(waiting.popleft().result())
        while waiting:
            move(waiting.popleft().result())


def _write_run(image: Image, reader: ChunkReader, rows: range, descriptor: int, base: int) -> int:
    written, fetched = 0, reader.open(rows)
    for row in rows:
        plain = fetched.chunk(row)
        os.pwrite(descriptor, plain, base + int(image.chunks.uncompressed_offset[row]))
        written += len(plain)
    return written
