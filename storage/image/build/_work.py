"""What costs time of a build, and can be done of some files without regard to the others.

Source: nydus ``builder/src/core/node.rs``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from storage.codec import Cipher, Compressor, bound, buffer, compress_into, crc32c, digest, encrypt
from storage.errors import FormatError
from storage.image.build._blocks import Blocks
from storage.image.build._recipe import Recipe

__all__ = ["Piece", "Task", "Worked", "Worker", "pack", "room"]

# A file to be read, or nothing where that is done, and where in it; the place in the block; whether it is for a batch.
Piece = tuple[bytes, int, int, int, bool]
Task = tuple[int, list[Piece]]  # of a block
# Digest, CRC32C, how many bytes are stored, and whether compressed: 0 as they are, -1 not at all.
Worked = tuple[bytes, int, int, bool]


def pack(recipe: Recipe, plain: bytes | memoryview) -> tuple[bytes | memoryview, bool]:
    """A unit as it is stored, and whether it is compressed: what does not get smaller is not."""
    target = buffer("packed", room(len(plain), 1))
    size, compressed = _pack_into(recipe, plain, target)
    return (bytes(target[:size]) if size else plain), compressed


def room(size: int, units: int) -> int:
    """How many bytes are enough for what comes of packing so many, in so many units."""
    return bound(size) + units * bound(0)


class Worker:
    """Reads, digests and compresses pieces within their blocks; what occurs again is compressed but once."""

    def __init__(self, blocks: Blocks, recipe: Recipe) -> None:
        self._blocks = blocks
        self._recipe = recipe
        self._packed: set[bytes] = set()

    def __call__(self, task: Task) -> list[Worked]:
        """Work on one block.

        Raises
        ------
        FormatError
            If a file cannot be read, or is not as long as it was.
        """
        number, pieces = task
        _, block, stored = self._blocks[number]
        worked, end = list[Worked](), 0
        for plain, small in _read(pieces, block):
            key, size, compressed = digest(self._recipe.digester, plain), -1, False
            if not small and key not in self._packed:
                self._packed.add(key)
                size, compressed = _pack_into(self._recipe, plain, stored[end:])
                end += size
            worked.append((key, crc32c(plain), size, compressed))
        return worked


def _pack_into(recipe: Recipe, plain: bytes | memoryview, target: memoryview) -> tuple[int, bool]:
    """How long a unit is where it is stored, 0 for as it is, and whether it is compressed."""
    if recipe.compressor is Compressor.NONE:
        size, compressed = 0, False
    else:
        size = compress_into(recipe.compressor, plain, target)
        compressed = size < len(plain)
    if recipe.cipher is Cipher.NONE:
        return size if compressed else 0, compressed
    stored = encrypt(recipe.cipher, recipe.key, recipe.iv, target[:size] if compressed else plain)
    target[: len(stored)] = stored
    return len(stored), compressed


def _read(pieces: list[Piece], block: memoryview) -> Iterator[tuple[memoryview, bool]]:
    """Each piece when it is read, while it is in the processor's cache, and whether it is for a batch."""
    opened, descriptor = b"", -1
    try:
        for path, offset, start, length, small in pieces:
            plain = block[start : start + length]
            if path != opened:
                opened, descriptor = path, _close(descriptor)
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else -1
            if path:
                _fill(descriptor, plain, offset, path)
            yield plain, small
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=os.fsdecode(opened)) from error
    finally:
        _close(descriptor)


def _fill(descriptor: int, target: memoryview, offset: int, path: bytes) -> None:
    while target:
        count = os.preadv(descriptor, [target], offset)
        if not count:
            raise FormatError("became shorter while it was read", path=os.fsdecode(path))
        target, offset = target[count:], offset + count


def _close(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1
