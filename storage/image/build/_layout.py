"""Where each inode goes in the bootstrap.

Inodes and short tails fill the rest of blocks that directories leave half empty, by the
reference's rules, since its bytes are to come out.

Source: nydus ``builder/src/core/{v6,bootstrap,context}.rs``.
"""

from __future__ import annotations

from collections import deque

from storage.image._ondisk import (
    BLOCK_SIZE,
    CHUNK_ADDR,
    DIRENT,
    INODE_EXTENDED,
    SLOT_SIZE,
    XATTR_HEADER_SIZE,
    XATTR_PREFIXES,
)
from storage.image.build._node import Node

__all__ = ["dirent_blocks", "inode_size", "place_nodes", "xattr_size", "xattr_split"]


def xattr_split(name: str) -> tuple[int, bytes]:
    """The index of a name's prefix, and what is left of the name."""
    for index, prefix in XATTR_PREFIXES.items():
        if name.startswith(prefix):
            return index, name[len(prefix) :].encode("utf-8", "surrogateescape")
    raise AssertionError(name)


def xattr_size(node: Node) -> int:
    """Bytes of a node's extended attributes."""
    if not node.xattrs:
        return 0
    entries = (4 + len(xattr_split(name)[1]) + len(value) for name, value in node.xattrs)
    return XATTR_HEADER_SIZE + sum(_up(size, 4) for size in entries)


def inode_size(node: Node) -> int:
    """Bytes of inode and xattrs. Inodes are extended ones, which keep the time."""
    return INODE_EXTENDED.itemsize + xattr_size(node)


def dirent_blocks(names: list[bytes], block_size: int = BLOCK_SIZE) -> list[list[bytes]]:
    """Names of a directory, sorted, by the block that they go to."""
    blocks: list[list[bytes]] = [[]]
    used = 0
    for name in sorted([b".", b"..", *names]):
        length = DIRENT.itemsize + len(name)
        if used + length > block_size:
            blocks.append([])
            used = 0
        blocks[-1].append(name)
        used += length
    return blocks


def place_nodes(root: Node, chunk_size: int, block_size: int = BLOCK_SIZE) -> int:
    """Fill in `offset`, `data_offset`, `inline`, `nlink` and directory sizes; returns the end."""
    space = _Space(block_size)
    first_of: dict[object, Node] = {}
    folders = [root]
    while folders:
        folder = folders.pop()
        folder.size = _dirents_size(folder, block_size)
        _place_with_tail(space, folder)
        space.align(SLOT_SIZE)
        for child in folder.children:
            if not child.is_dir:
                _place(space, child, chunk_size, first_of)
        below = [child for child in folder.children if child.is_dir]
        folder.nlink = 2 + len(below)
        folders.extend(reversed(below))
    return space.offset


def _dirents_size(folder: Node, block_size: int) -> int:
    blocks = dirent_blocks([child.name for child in folder.children], block_size)
    last = sum(DIRENT.itemsize + len(name) for name in blocks[-1])
    return (len(blocks) - 1) * block_size + last


def _place(space: _Space, node: Node, chunk_size: int, first_of: dict[object, Node]) -> None:
    if node.is_reg:
        first = first_of.setdefault(node.identity, node) if node.identity is not None else node
        if first is node:
            chunks = -(-node.size // chunk_size)
            node.offset = space.take(_up(inode_size(node), CHUNK_ADDR.itemsize) + chunks * CHUNK_ADDR.itemsize)
        else:
            first.nlink += 1
            node.offset = first.offset
    elif node.is_link:
        _place_with_tail(space, node)
    else:
        node.offset = space.offset
        space.offset += inode_size(node)
    space.align(SLOT_SIZE)


def _place_with_tail(space: _Space, node: Node) -> None:
    """Place a directory or a link: whole blocks on their own, the tail behind the inode if it fits."""
    block = space.block_size
    size, tail = inode_size(node), node.size % block
    node.inline = tail != 0 and size + tail <= block
    if node.inline:
        node.offset = space.reuse(size + tail)
        if node.offset == 0:
            if block - space.offset % block < size + tail:
                space.leave()
            node.offset = space.offset
            space.offset += size + tail
        if node.size != tail:
            space.leave()
        node.data_offset = space.offset
        space.offset += node.size - tail
    else:
        node.offset = space.take(size)
        space.leave()
        node.data_offset = space.offset
        space.offset += node.size
        space.align(block)


class _Space:
    """The bootstrap's space: an end that grows, and blocks before it with room left at their ends."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.offset = BLOCK_SIZE
        self._rooms: list[deque[int]] = [deque() for _ in range(self.block_size // SLOT_SIZE)]
        self._any = 0  # a bit for each size of room that there is

    def align(self, unit: int) -> None:
        """Move the end up to a multiple."""
        self.offset = _up(self.offset, unit)

    def take(self, size: int) -> int:
        """Room in a left block, or else at the end."""
        place = self.reuse(size)
        if place == 0:
            place = self.offset
            self.offset += size
        return place

    def leave(self) -> None:
        """Start a new block, and remember the room in the present one."""
        self._remember(self.offset)
        self.align(self.block_size)

    def reuse(self, size: int) -> int:
        """Room in the left block that fits tightest; 0 for none."""
        if size >= self.block_size:
            return 0
        slots = -(-size // SLOT_SIZE)
        enough = self._any >> slots
        if not enough:
            return 0
        room = slots + (enough & -enough).bit_length() - 1
        place = self._rooms[room].popleft() + self.block_size - room * SLOT_SIZE
        if not self._rooms[room]:
            self._any ^= 1 << room
        self._remember(place + slots * SLOT_SIZE)
        return place

    def _remember(self, offset: int) -> None:
        if offset % self.block_size:
            room = (self.block_size - offset % self.block_size) // SLOT_SIZE
            self._rooms[room].append(offset - offset % self.block_size)
            self._any |= 1 << room


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
