"""What costs time of a build, and can be done of some files without regard to the others.

Source: nydus ``builder/src/core/node.rs``.
"""

from __future__ import annotations

import os

from storage.codec import Cipher, Compressor, compress, crc32c, digest, encrypt
from storage.errors import FormatError
from storage.image.build._blocks import Blocks
from storage.image.build._recipe import Recipe

__all__ = ["PADDING", "Piece", "Task", "Worked", "Worker", "pack"]

PADDING = 17  # bytes by which encryption may make a piece longer

# A file to be read, or nothing where that is done, and where in it; the place in the block; whether it is for a batch.
Piece = tuple[bytes, int, int, int, bool]
Task = tuple[int, list[Piece]]  # of a block
# Digest, CRC32C, how many bytes are stored, and whether compressed: 0 as they are, -1 not at all.
Worked = tuple[bytes, int, int, bool]


def pack(recipe: Recipe, plain: bytes | memoryview) -> tuple[bytes | memoryview, bool]:
    """A unit as it is stored, and whether it is compressed: what does not get smaller is not."""
    stored = plain if recipe.compressor is Compressor.NONE else compress(recipe.compressor, plain)
    compressed = len(stored) < len(plain)
    stored = stored if compressed else plain
    return stored if recipe.cipher is Cipher.NONE else encrypt(recipe.cipher, recipe.key, recipe.iv, stored), compressed


class Worker:
    """Reads, digests and compresses pieces within their blocks, which it has packed but once of what occurs again."""

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
        _, plain, stored = self._blocks[number]
        _read(pieces, plain)
        worked, end = list[Worked](), 0
        for _, _, start, length, small in pieces:
            content = plain[start : start + length]
            key, size, compressed = digest(self._recipe.digester, content), -1, False
            if not small and key not in self._packed:
                self._packed.add(key)
                packed, compressed = pack(self._recipe, content)
                size = 0 if packed is content else len(packed)
                stored[end : end + size] = packed[:size]
                end += size
            worked.append((key, crc32c(content), size, compressed))
        return worked


def _read(pieces: list[Piece], plain: memoryview) -> None:
    opened, descriptor = b"", -1
    try:
        for path, offset, start, length, _ in pieces:
            if path != opened:
                opened, descriptor = path, _close(descriptor)
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else -1
            while path and length:
                count = os.preadv(descriptor, [plain[start : start + length]], offset)
                if not count:
                    raise FormatError("became shorter while it was read", path=os.fsdecode(path))
                offset, start, length = offset + count, start + count, length - count
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=os.fsdecode(opened)) from error
    finally:
        _close(descriptor)


def _close(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1
