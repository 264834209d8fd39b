"""Writing the inodes of a v6 bootstrap, with their names, xattrs and chunk addresses.

Source: nydus ``builder/src/core/v6.rs``.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from storage.errors import FormatError
from storage.image._inodes import spread
from storage.image._ondisk import (
    CHUNK_ADDR,
    CHUNK_BASED,
    DIRENT,
    FLAT_INLINE,
    FLAT_PLAIN,
    INODE_EXTENDED,
    SLOT_SIZE,
    XATTR_HEADER_SIZE,
)
from storage.image.build._chunk_list import ChunkList
from storage.image.build._layout import dirent_blocks, inode_size, xattr_size, xattr_split
from storage.image.build._node import Node

__all__ = ["put_inodes"]

_FILE_TYPES = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}

# Records of `INODE_EXTENDED` and of `DIRENT`: for one at a time numpy is slow.
_INODE = struct.Struct("<4HQ4IQ2I16x")
_DIRENT = struct.Struct("<QHBx")
assert _INODE.size == INODE_EXTENDED.itemsize and _DIRENT.size == DIRENT.itemsize


def put_inodes(
    image: bytearray,
    nodes: Sequence[Node],
    shift: int,
    meta: int,
    chunks: ChunkList,
    chunk_size: int,
    block_size: int,
) -> None:
    """Write all nodes, which are placed, into a bootstrap.

    Parameters
    ----------
    nodes
        The root first; of a file with several names the first one gives the inode.
    shift
        What is added to the nodes' places.
    meta
        Where nids count from.
    """
    parents = {id(child): folder for folder in nodes if folder.is_dir for child in folder.children}
    dumped: set[int] = set()
    rows, starts, counts = list[int](), list[int](), list[int]()
    for number, node in enumerate(nodes, 1):
        if node.offset in dumped:
            continue
        dumped.add(node.offset)
        place = node.offset + shift
        tail = place + inode_size(node)
        union, layout = node.rdev, FLAT_PLAIN
        if node.is_reg:
            layout, union = CHUNK_BASED, _chunk_format(node, chunks, chunk_size, block_size)
            rows += node.chunks
            starts.append(-(-tail // CHUNK_ADDR.itemsize))
            counts.append(len(node.chunks))
        elif node.is_dir or node.is_link:
            layout = FLAT_INLINE if node.inline else FLAT_PLAIN
            union = (node.data_offset + shift) // block_size
            if node.is_dir:
                _put_dirents(image, node, parents.get(id(node), node), tail, shift, meta, block_size)
            else:
                whole = node.size - node.size % block_size if node.inline else node.size
                _put(image, node.data_offset + shift, node.target[:whole])
                _put(image, tail, node.target[whole:])
        _put_inode(image, place, node, layout, union, number)
        if node.xattrs:
            _put(image, place + INODE_EXTENDED.itemsize, _xattrs(node))
    addresses = np.frombuffer(image, "<u8")
    addresses[spread(np.array(starts, np.int64), np.array(counts, np.int64))] = _addresses(chunks, block_size)[rows]


def _put_inode(image: bytearray, place: int, node: Node, layout: int, union: int, ino: int) -> None:
    xattrs = (xattr_size(node) - XATTR_HEADER_SIZE) // 4 + 1 if node.xattrs else 0
    seconds, nanoseconds = divmod(node.mtime_ns, 10**9)
    _INODE.pack_into(
        image,
        place,
        1 | layout << 1,
        xattrs,
        node.mode & 0xFFFF,
        0,
        node.size,
        union & 0xFFFF_FFFF,
        ino,
        node.uid,
        node.gid,
        seconds & 0xFFFF_FFFF_FFFF_FFFF,
        nanoseconds,
        node.nlink,
    )


def _xattrs(node: Node) -> bytes:
    out = bytearray(XATTR_HEADER_SIZE)
    for name, value in node.xattrs:
        index, rest = xattr_split(name)
        if len(rest) > 0xFF or len(value) > 0xFFFF:
            raise FormatError(f"extended attribute {name!r} is too long", path=node.path)
        out += bytes((len(rest), index)) + len(value).to_bytes(2, "little") + rest + value
        out += bytes(-len(out) % 4)
    return bytes(out)


def _put_dirents(
    image: bytearray, folder: Node, parent: Node, tail_at: int, shift: int, meta: int, block_size: int
) -> None:
    entries = {child.name: child for child in folder.children} | {b".": folder, b"..": parent}
    blocks = dirent_blocks([child.name for child in folder.children], block_size)
    for number, names in enumerate(blocks):
        inline = number == len(blocks) - 1 and folder.inline
        records, at = list[bytes](), len(names) * DIRENT.itemsize
        for name in names:
            node = entries[name]
            nid = (node.offset + shift - meta) // SLOT_SIZE
            records.append(_DIRENT.pack(nid, at, _FILE_TYPES.get(stat.S_IFMT(node.mode), 0)))
            at += len(name)
        place = tail_at if inline else folder.data_offset + shift + number * block_size
        _put(image, place, b"".join(records + names))


def _chunk_format(node: Node, chunks: ChunkList, chunk_size: int, block_size: int) -> int:
    """What the kernel takes for the chunk size: the whole file's where it is in one piece."""
    size = chunk_size
    if node.size > chunk_size:
        places = [(chunks.blob[row], chunks.uncompressed_offset[row]) for row in node.chunks]
        if all((blob, at + chunk_size) == behind for (blob, at), behind in pairwise(places)):
            size = 1 << (node.size - 1).bit_length()
    return 0x20 | (size // block_size).bit_length() - 1


def _addresses(chunks: ChunkList, block_size: int) -> np.ndarray:
    """The address of each chunk of the list, as a number."""
    index = np.array(chunks.index, np.int64)
    records = np.zeros(len(chunks), CHUNK_ADDR)
    records["blob_lo"] = index & 0xFFFF
    records["blob_hi"] = (index >> 8 & 0xFF00) | np.array(chunks.blob, np.int64) + 1
    records["block"] = np.array(chunks.uncompressed_offset, np.int64) // block_size
    return records.view("<u8")


def _put(image: bytearray, offset: int, data: bytes) -> None:
    image[offset : offset + len(data)] = data
