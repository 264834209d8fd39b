"""What can be wrong with a v6 bootstrap that its tables do not show: what the kernel goes by, and RAFS does not."""

from __future__ import annotations

import stat
from collections.abc import Iterator

import numpy as np

from storage.image._inodes import gather, is_kind, spread
from storage.image._ondisk import (
    CHUNK_ADDR,
    DEVICE_SLOT,
    DEVICE_TABLE_OFFSET,
    DIRENT,
    SLOT_SIZE,
    SUPER_BLOCK,
    SUPER_OFFSET,
)
from storage.image._open import Bootstrap
from storage.image._super import table_at
from storage.image._tree import _blocks
from storage.image.tables import Chunks
from storage.image.verbs._report import Problem

__all__ = ["erofs_problems"]

_TYPE_OF = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4}
_TYPE_OF |= {stat.S_IFIFO: 5, stat.S_IFSOCK: 6, stat.S_IFLNK: 7}


def erofs_problems(bootstrap: Bootstrap, chunks: Chunks) -> Iterator[Problem]:
    """Superblock counts, device slots, dirent types, ``.`` and ``..``, block addresses, prefetch table."""
    yield from _super_block(bootstrap)
    yield from _dirents(bootstrap)
    yield from _addresses(bootstrap, chunks)
    yield from _prefetch(bootstrap)


def _super_block(bootstrap: Bootstrap) -> Iterator[Problem]:
    block = np.frombuffer(bootstrap.data, SUPER_BLOCK, 1, SUPER_OFFSET)[0]
    names = len(bootstrap.entries) + 1
    if int(block["inodes"]) != names:
        yield Problem("pointer", f"the superblock counts {block['inodes']} files, there are {names}", "superblock")
    if int(block["extra_devices"]) != len(bootstrap.infos):
        what = f"the superblock has {block['extra_devices']} devices for {len(bootstrap.infos)} blobs"
        yield Problem("pointer", what, "superblock")
        return
    start = int(block["device_slot"]) * DEVICE_SLOT.itemsize
    if start != DEVICE_TABLE_OFFSET and bootstrap.infos:
        yield Problem("pointer", f"the device table lies at {start}", "superblock")
        return
    slots = table_at(bootstrap.data, DEVICE_SLOT, (start, len(bootstrap.infos) * DEVICE_SLOT.itemsize), "device_slot")
    end = 0
    for info, slot in zip(bootstrap.infos, slots, strict=True):
        where = f"device {info.blob_index}"
        unit = 1 << int(block["block_bits"])
        if int(slot["blocks"]) != info.uncompressed_size // unit:
            what = f"has {slot['blocks']} blocks, its blob {info.uncompressed_size // unit}"
            yield Problem("blob", what, where)
        if int(slot["mapped_block"]) < end:
            yield Problem("blob", "overlaps the device before it", where)
        end = int(slot["mapped_block"]) + int(slot["blocks"])


def _dirents(bootstrap: Bootstrap) -> Iterator[Problem]:
    """The dirents once more: what `read_tree` does not need, the kernel does."""
    inodes, data = bootstrap.inodes, bootstrap.data
    folders = np.flatnonzero(is_kind(inodes.mode, stat.S_IFDIR))
    parent, start, _ = _blocks(inodes, folders, bootstrap.block_size)
    counts = gather(data, start, DIRENT)["name_offset"].astype(np.int64) // DIRENT.itemsize
    within = np.repeat(np.arange(len(start)), counts)
    at = start[within] + spread(np.zeros_like(counts), counts) * DIRENT.itemsize
    dirents = gather(data, at, DIRENT)
    nid, owner = dirents["nid"].astype(np.int64), parent[within]
    order = np.argsort(inodes.nid)
    row = order[np.searchsorted(inodes.nid, nid, sorter=order).clip(max=len(order) - 1)]
    kinds = np.zeros(16, np.uint8)
    kinds[[kind >> 12 for kind in _TYPE_OF]] = list(_TYPE_OF.values())
    wrong = kinds[(inodes.mode[row] >> 12) & 15] != dirents["file_type"]
    for place in np.flatnonzero(wrong).tolist():
        what = f"a dirent at {int(at[place])} says type {int(dirents['file_type'][place])}"
        yield Problem("dirent", f"{what}, the inode is another", f"nid {int(nid[place])}")
    yield from _dots(bootstrap, dirents, at, start[within], nid, owner)


def _dots(
    bootstrap: Bootstrap, dirents: np.ndarray, at: np.ndarray, block: np.ndarray, nid: np.ndarray, owner: np.ndarray
) -> Iterator[Problem]:
    inodes, data = bootstrap.inodes, bootstrap.data
    name = block + dirents["name_offset"]
    length = np.append(np.where(np.diff(block) == 0, np.diff(name), 0), 0)
    first = data[name] == ord(".")
    second = data[np.minimum(name + 1, len(data) - 1)] == ord(".")
    own, up = first & (length == 1), first & second & (length == 2)
    above = np.zeros(len(inodes), np.int64)
    above[bootstrap.entries.inode] = bootstrap.entries.parent
    for what, chosen, wanted in ((".", own, owner), ("..", up, above[owner])):
        for place in np.flatnonzero(chosen & (inodes.nid[wanted] != nid)).tolist():
            yield Problem("dirent", f"the name {what!r} leads elsewhere", f"offset {int(at[place])}")
        lacking = np.setdiff1d(np.flatnonzero(is_kind(inodes.mode, stat.S_IFDIR)), owner[chosen])
        # The last name of a block has no end that can be told here: it is looked at no further.
        tiny = np.bincount(owner, minlength=len(inodes)) <= 2
        for row in lacking[~tiny[lacking]].tolist():
            yield Problem("dirent", f"has no name {what!r}", f"nid {int(inodes.nid[row])}")


def _addresses(bootstrap: Bootstrap, chunks: Chunks) -> Iterator[Problem]:
    """Block addresses of chunks, which RAFS ignores and the kernel reads by."""
    inodes, extents = bootstrap.inodes, bootstrap.extents
    number = np.arange(len(extents)) - inodes.first_extent[extents.inode]
    where = inodes.data_offset[extents.inode] + number * CHUNK_ADDR.itemsize
    block = gather(bootstrap.data, where, CHUNK_ADDR)["block"].astype(np.int64) * bootstrap.block_size
    for place in np.flatnonzero(block != chunks.uncompressed_offset[extents.chunk]).tolist():
        what = f"a block address of {int(block[place])} is not where its chunk lies"
        yield Problem("pointer", what, f"offset {int(where[place])}")


def _prefetch(bootstrap: Bootstrap) -> Iterator[Problem]:
    span = bootstrap.block.prefetch_table
    if span[0] == 0:
        return
    nids = table_at(bootstrap.data, np.dtype("<u4"), span, "prefetch_table").astype(np.int64)
    for nid in nids[(nids != 0) & ~np.isin(nids, bootstrap.inodes.nid)].tolist():
        yield Problem("prefetch", "names an inode that there is not", f"nid {nid}, offset {nid * SLOT_SIZE}")
