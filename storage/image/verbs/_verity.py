"""A hash tree behind a block image, for dm-verity: SHA-256, blocks of 4096 bytes, no salt, no superblock.

Source: Linux ``Documentation/admin-guide/device-mapper/verity.rst``; nydus ``utils/src/verity.rs``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

__all__ = ["Verity", "append_hash_tree"]

_BLOCK = 4096
_READ = 1 << 20
_ZEROS = bytes(_BLOCK)
_OF_ZEROS = hashlib.sha256(_ZEROS).digest()


@dataclass(frozen=True)
class Verity:
    """How a block image is verified.

    Attributes
    ----------
    data_blocks
        Blocks of 4096 bytes that are data; the hash tree follows them.
    root
        The root digest, in hex.
    """

    data_blocks: int
    root: str

    @property
    def hash_offset(self) -> int:
        """Where the hash tree lies, in bytes."""
        return self.data_blocks * _BLOCK

    def arguments(self) -> list[str]:
        """Options of ``veritysetup`` that say the same; the device, for data and for hashes, and the root follow."""
        return [
            "--no-superblock",
            "--format=1",
            "--hash=sha256",
            "--salt=-",
            "--data-block-size=4096",
            "--hash-block-size=4096",
            f"--data-blocks={self.data_blocks}",
            f"--hash-offset={self.hash_offset}",
        ]


def append_hash_tree(file: IO[bytes], size: int) -> Verity:
    """Write the hash tree of a file's first `size` bytes, whole blocks, right behind them: the top level first."""
    level = b"".join(_digests(file, size))
    levels: list[bytes] = []
    while len(level) > 32:
        levels.append(level + bytes(-len(level) % _BLOCK))
        level = b"".join(_digest(levels[-1][at : at + _BLOCK]) for at in range(0, len(levels[-1]), _BLOCK))
    file.seek(size)
    for hashes in reversed(levels):
        file.write(hashes)
    return Verity(size // _BLOCK, level.hex())


def _digests(file: IO[bytes], size: int) -> Iterator[bytes]:
    file.seek(0)
    for start in range(0, size, _READ):
        data = memoryview(file.read(min(_READ, size - start)))
        yield b"".join(_digest(data[at : at + _BLOCK]) for at in range(0, len(data), _BLOCK))


def _digest(block: bytes | memoryview) -> bytes:
    return _OF_ZEROS if block == _ZEROS else hashlib.sha256(block).digest()
