"""A stargz layer as it is: its table of contents tells tree, chunks and digests, and nothing is inflated.

Each chunk begins a gzip member, which is an inflate context that needs no window: the image is one
of inflate contexts like any gzip layer's, and 4 KiB cost one chunk.

Source: nydus ``builder/src/stargz.rs``, whose images of this kind have no ``blob.meta`` and cannot be read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import IO, NamedTuple

import numpy as np

from storage.codec import Digester, InflateContext, crc32c, digest, inflate_piece
from storage.errors import FormatError
from storage.image._ondisk import MAX_CHUNK_SIZE, ZRAN_CONTEXT
from storage.image.build._chunk_list import ChunkList
from storage.image.build._node import Node
from storage.image.build._reference import Referenced, RefMeta, write_reference
from storage.image.build._sink import Sink
from storage.image.build._stargz_toc import StargzChunk, StargzMember, find_toc, parse_toc
from storage.image.build._tar_stream import TarStream
from storage.image.build._tar_tree import TarTree
from storage.image.build._zran_meta import ZRAN_FEATURES, ZranChunks, append_chunk, chunk_info
from storage.image.build._zran_ref import write_zran

__all__ = ["write_stargz", "write_stargz_toc"]

_GO_HEADER = 10  # bytes of a gzip header as stargz writers make it


class _Unit(NamedTuple):
    """A gzip member: where its deflate stream begins, the bytes that it takes at most, and how many it gives."""

    start: int
    stored: int
    plain: int


def write_stargz(
    layer: IO[bytes], path: str, out: Sink, chunk_size: int, *, inline: bool = False, toc: bool = False
) -> tuple[Node, ChunkList, str, bytes]:
    """See `write_zran`, which is what is done with a layer that has no table of contents.

    Chunks are as large as the table says; `chunk_size` is for files that it has in one.
    """
    found = find_toc(layer, path)
    layer.seek(0)
    if found is None:
        return write_zran(layer, path, out, chunk_size, inline=inline, toc=toc)
    content, end = found
    blob_id = hashlib.file_digest(layer, "sha256").hexdigest()  # type: ignore[arg-type]
    size = layer.seek(0, 2)

    def header(offset: int) -> int:
        layer.seek(offset)
        return _header_size(layer.read(4096), path, offset)

    def plain(unit: _Unit) -> bytes:
        layer.seek(unit.start)
        buffer = bytearray(unit.plain)
        inflate_piece(InflateContext(0, 0, b""), memoryview(layer.read(unit.stored)), memoryview(buffer))
        return bytes(buffer)

    members, told = parse_toc(content, path)
    return _write(members, told or chunk_size, (blob_id, size, end), header, plain, path, out, inline, toc)


def write_stargz_toc(
    content: bytes, path: str, out: Sink, chunk_size: int, blob_id: str, size: int
) -> tuple[Node, ChunkList, str, bytes]:
    """The same of a table of contents alone, for a layer that is elsewhere.

    Gzip headers are taken for what stargz writers make; a layer of others does not read as its digests.

    Raises
    ------
    FormatError
        If the table is broken, or has chunks without digests.
    """
    members, told = parse_toc(content, path)
    chunks = told or chunk_size
    return _write(members, chunks, (blob_id, size, size), lambda at: _GO_HEADER, None, path, out, False, False)


def _write(
    members: Sequence[StargzMember],
    chunk_size: int,
    layer: tuple[str, int, int],
    header: Callable[[int], int],
    plain: Callable[[_Unit], bytes] | None,
    path: str,
    out: Sink,
    inline: bool,
    toc: bool,
) -> tuple[Node, ChunkList, str, bytes]:
    blob_id, size, end = layer
    tree = TarTree(TarStream(io.BytesIO(), path), (member.entry for member in members))
    nodes = [(node, members_of.chunks) for node, members_of in _files(tree, members)]
    _check_sizes(nodes, chunk_size)
    units = _units([chunk for _, chunks in nodes for chunk in chunks], end, header, path)
    chunks, row_of = ZranChunks(), dict[StargzChunk, int]()
    number_of = {offset: number for number, offset in enumerate(units)}
    for chunk in sorted({chunk for _, chunks in nodes for chunk in chunks}, key=lambda one: (one.offset, one.inner)):
        unit, crc, key = units[chunk.offset], None, chunk.digest
        if not key:
            if plain is None:
                raise FormatError("the table has no digest of a chunk, and the layer is not here", path=path)
            data = plain(unit)[chunk.inner : chunk.inner + chunk.size]
            key, crc = digest(Digester.SHA256, data), crc32c(data)
        row_of[chunk] = len(chunks)
        stored = (unit.start, unit.stored)
        append_chunk(chunks, key, chunk.size, crc, stored, (number_of[chunk.offset], chunk.inner))
    for node, its in nodes:
        node.chunks.extend(row_of[chunk] for chunk in its)
    meta = RefMeta(chunk_info(chunks).tobytes(), _contexts(list(units.values())), len(units))
    described = Referenced(blob_id, size, ZRAN_FEATURES, chunk_size)
    image = write_reference(tree.root, chunks, described, meta, out, inline=inline, toc=toc)
    return tree.root, chunks, blob_id, image


def _files(tree: TarTree, members: Sequence[StargzMember]) -> list[tuple[Node, StargzMember]]:
    by_number = {member.entry.offset: member for member in members}
    return [(node, by_number[entry.offset]) for node, entry in tree.files()]


def _check_sizes(nodes: Sequence[tuple[Node, list[StargzChunk]]], chunk_size: int) -> None:
    for node, chunks in nodes:
        if any(chunk.size > chunk_size or chunk.file_offset % chunk_size for chunk in chunks):
            raise FormatError(f"a file is not in chunks of {chunk_size} bytes: take larger ones", path=node.path)


def _units(chunks: Sequence[StargzChunk], end: int, header: Callable[[int], int], path: str) -> dict[int, _Unit]:
    """Gzip members that hold chunks, by where they begin, in that order."""
    plain: dict[int, int] = {}
    for chunk in chunks:
        plain[chunk.offset] = max(plain.get(chunk.offset, 0), chunk.inner + chunk.size)
    starts = sorted(plain)
    units: dict[int, _Unit] = {}
    for start, after in pairwise([*starts, end]):
        if after > end or start >= end or plain[start] > MAX_CHUNK_SIZE:
            raise FormatError("a chunk lies past the end of the layer, or is too large", path=path, offset=start)
        skipped = header(start)
        most = plain[start] + plain[start] // (16 << 10) * 5 + 151  # of what deflate makes of it, and the trailer
        units[start] = _Unit(start + skipped, min(after - start - skipped, most), plain[start])
        if units[start].stored <= 0:
            raise FormatError("gzip members of chunks overlap", path=path, offset=start)
    return units


def _contexts(units: Sequence[_Unit]) -> bytes:
    table = np.zeros(len(units), ZRAN_CONTEXT)
    table["in_offset"], table["in_size"] = [unit.start for unit in units], [unit.stored for unit in units]
    table["out_size"] = sizes = np.array([unit.plain for unit in units], np.int64)
    table["out_offset"] = np.cumsum(sizes) - sizes
    return table.tobytes()


def _header_size(start: bytes, path: str, offset: int) -> int:
    """Bytes of a gzip header (RFC 1952): its fixed part, and what its flags add."""
    if start[:3] != b"\x1f\x8b\x08" or len(start) < _GO_HEADER:
        raise FormatError("no gzip member begins where the table says", path=path, offset=offset)
    flags, size = start[3], _GO_HEADER
    if flags & 4:
        size += 2 + int.from_bytes(start[size : size + 2], "little")
    for flag in (8, 16):  # a name, a comment
        if flags & flag:
            size = start.find(b"\0", size) + 1 or len(start) + 1
    size += 2 if flags & 2 else 0
    if size > len(start):
        raise FormatError("a gzip header is too long", path=path, offset=offset)
    return size
