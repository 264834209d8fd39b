"""Writing a v5 bootstrap: superblock, tables, and every inode with its name, xattrs and chunks.

Source: nydus ``builder/src/core/{v5,bootstrap}.rs``.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from storage.codec import Compressor, Digester, digest
from storage.errors import FormatError
from storage.image.blob_info import BlobInfo
from storage.image.build._chunk_list import ChunkList
from storage.image.build._node import Node
from storage.image.v5._ondisk import (
    ALIGNMENT,
    COMPRESSION_FLAGS,
    EXPLICIT_UID_GID,
    EXT_BLOB_ENTRY,
    HAS_XATTR,
    HASH_FLAGS,
    INODE_HARDLINK,
    INODE_SYMLINK,
    INODE_XATTR,
    MAGIC,
    SUPER_BLOCK,
    SUPER_BLOCK_SIZE,
    VERSION,
    aligned,
)

__all__ = ["dump_bootstrap"]

_INODE = struct.Struct("<32sQQIIIIQQQIIIHHIIQ8x")
_CHUNK = struct.Struct("<32sIIIIQQQII")
_MAX_OFFSET = ALIGNMENT << 29
_VIRTUAL_ENTRY_SIZE = 8


def dump_bootstrap(
    root: Node,
    chunks: ChunkList,
    infos: Sequence[BlobInfo],
    compressor: Compressor,
    digester: Digester,
    chunk_size: int,
    listed: Sequence[Node] | None = None,
) -> bytes:
    """The bootstrap of a tree whose chunks are written.

    Parameters
    ----------
    listed
        Nodes of the prefetch table; None for no table.

    Raises
    ------
    FormatError
        If something in the tree has no place in the format.
    """
    nodes = _number(root)
    _count_links(nodes)
    _digest(nodes, chunks, digester)
    flags = COMPRESSION_FLAGS[compressor] | HASH_FLAGS[digester] | EXPLICIT_UID_GID
    flags |= HAS_XATTR if any(node.xattrs for node in nodes) else 0
    prefetch = np.array([node.inode for node in listed or ()], "<u4").tobytes()
    blob_table, extended = _blob_tables(infos)
    inode_table = SUPER_BLOCK_SIZE
    prefetch_table = inode_table + aligned(4 * len(nodes))
    blobs = prefetch_table + aligned(len(prefetch))
    ext_table = blobs + aligned(len(blob_table))
    records = _records(root, nodes, chunks, ext_table + len(extended), chunk_size)
    block = np.zeros(1, SUPER_BLOCK)
    fields = {
        "magic": MAGIC,
        "version": VERSION,
        "sb_size": SUPER_BLOCK_SIZE,
        "block_size": chunk_size,
        "flags": flags,
        "inodes_count": sum(node.inode == node.number for node in nodes),
        "inode_table_offset": inode_table,
        "prefetch_table_offset": prefetch_table,
        "blob_table_offset": blobs,
        "inode_table_entries": len(nodes),
        "prefetch_table_entries": len(prefetch) // 4,
        "blob_table_size": aligned(len(blob_table)),
        "ext_blob_table_entries": len(extended) // EXT_BLOB_ENTRY.itemsize,
        "ext_blob_table_offset": ext_table,
    }
    for name, value in fields.items():
        block[name] = value
    slots = np.array([node.offset // ALIGNMENT for node in nodes], "<u4").tobytes()
    head = [block.tobytes().ljust(SUPER_BLOCK_SIZE, b"\0"), slots, prefetch, blob_table, extended]
    return b"".join([*map(_padded, head), *records])


def _number(root: Node) -> list[Node]:
    """Give numbers: all children of a directory, then what is below each of its directories."""
    nodes, folders = [root], [root]
    root.number = 1
    while folders:
        folder = folders.pop()
        folder.first_child = len(nodes) + 1
        for child in folder.children:
            nodes.append(child)
            child.number = len(nodes)
        folders.extend(child for child in reversed(folder.children) if child.is_dir)
    return nodes


def _count_links(nodes: Sequence[Node]) -> None:
    """Further names of a file bear the number of the first; all of them know how many there are."""
    names = Counter(node.identity for node in nodes if node.is_reg and node.identity is not None)
    first_of: dict[object, int] = {}
    for node in nodes:
        node.inode, node.nlink = node.number, 1
        if node.is_dir:
            node.nlink = 2 + sum(child.is_dir for child in node.children)
        elif node.is_reg and node.identity is not None:
            node.inode = first_of.setdefault(node.identity, node.number)
            node.nlink = names[node.identity]


def _digest(nodes: Sequence[Node], chunks: ChunkList, digester: Digester) -> None:
    """Digests, from the leaves up: children have greater numbers."""
    for node in reversed(nodes):
        if node.is_dir:
            hashed = b"".join(child.digest for child in node.children)
        elif node.is_reg:
            hashed = b"".join(chunks.digest[index] for index in node.chunks)
        else:
            hashed = node.target
        node.digest = digest(digester, hashed)


def _blob_tables(infos: Sequence[BlobInfo]) -> tuple[bytes, bytes]:
    """The blob table, whose entries are parted by a zero byte, and the extended one."""
    extended = np.zeros(len(infos), EXT_BLOB_ENTRY)
    entries = []
    for at, info in enumerate(infos):
        entries.append(struct.pack("<II", info.prefetch_offset, info.prefetch_size) + info.blob_id.encode())
        for name in ("chunk_count", "features", "uncompressed_size", "compressed_size"):
            extended[at][name] = getattr(info, name)
    return b"\0".join(entries), extended.tobytes()


def _records(root: Node, nodes: Sequence[Node], chunks: ChunkList, offset: int, chunk_size: int) -> list[bytes]:
    """Inodes in the order in which they lie, each directory before all that is below it; fills in their places."""
    parents = {child.number: folder.number for folder in nodes if folder.is_dir for child in folder.children}
    records = []
    for node in _depth_first(root):
        node.offset = offset
        record = _record(node, parents.get(node.number, 0), chunks, chunk_size)
        offset += len(record)
        records.append(record)
    if offset > _MAX_OFFSET:
        raise FormatError(f"{offset} bytes are too many for a v5 bootstrap")
    return records


def _depth_first(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _record(node: Node, parent: int, chunks: ChunkList, chunk_size: int) -> bytes:
    xattrs = _xattrs(node)
    name = node.name if parent else b"/"
    size = _folder_size(node) if node.is_dir else node.size
    flags = (INODE_SYMLINK if node.is_link else 0) | (INODE_XATTR if xattrs else 0)
    flags |= INODE_HARDLINK if node.hardlink else 0
    inode = _INODE.pack(
        node.digest,
        parent,
        node.inode,
        node.uid,
        node.gid,
        0,
        node.mode,
        size,
        -(-(size + aligned(len(xattrs))) // 512),
        flags,
        node.nlink,
        node.first_child if node.is_dir else 0,
        len(node.children) if node.is_dir else len(node.chunks),
        len(name),
        len(node.target),
        node.rdev & 0xFFFF_FFFF,
        node.mtime_ns % 10**9,
        node.mtime_ns // 10**9 & 0xFFFF_FFFF_FFFF_FFFF,
    )
    behind = struct.pack("<Q", len(xattrs)) + _padded(xattrs) if xattrs else b""
    records = (_chunk(chunks, row, at * chunk_size) for at, row in enumerate(node.chunks))
    return b"".join((inode, _padded(name), _padded(node.target), behind, *records))


def _folder_size(folder: Node) -> int:
    """What the reference gives as a directory's size, whatever the file system said."""
    size = sum(len(child.name) + _VIRTUAL_ENTRY_SIZE for child in folder.children)
    return -(-size // 4096) * 4096 or 4096


def _xattrs(node: Node) -> bytes:
    pairs = []
    for name, value in node.xattrs:
        key = name.encode("utf-8", "surrogateescape") + b"\0"
        pairs.append(struct.pack("<I", len(key) + len(value)) + key + value)
    return b"".join(pairs)


def _chunk(chunks: ChunkList, row: int, file_offset: int) -> bytes:
    return _CHUNK.pack(
        chunks.digest[row],
        chunks.blob[row],
        chunks.flags[row],
        chunks.compressed_size[row],
        chunks.uncompressed_size[row],
        chunks.compressed_offset[row],
        chunks.uncompressed_offset[row],
        file_offset,
        chunks.index[row],
        chunks.crc32c[row],
    )


def _padded(data: bytes) -> bytes:
    return data.ljust(aligned(len(data)), b"\0")
