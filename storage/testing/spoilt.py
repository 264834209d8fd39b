"""Spoilt images: bytes changed, and the questions that whatever opens must have an answer to."""

from __future__ import annotations

import random
import resource
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from storage.errors import StorageError
from storage.image import Image

__all__ = ["MAX_GROWTH_KIB", "ask_everything", "flipped", "survives"]

MAX_GROWTH_KIB = 300 << 10


def ask_everything(image: Image) -> None:
    """Every question that an image answers about every file; errors of ours are answers."""
    paths, rows = image.paths()
    for path, row in zip(paths, rows.tolist(), strict=True):
        for question in _questions(image, path, row):
            try:
                question()
            except StorageError:
                continue


def _questions(image: Image, path: bytes, row: int) -> Iterator[Callable[[], object]]:
    yield partial(image.lookup, path)
    for ask in (image.stat, image.xattrs, image.path_of):
        yield partial(ask, row)
    yield partial(image.segments, row, 0, 1 << 20)
    yield partial(image.segments, row, 5000, 1)
    mode = int(image.inodes.mode[row])
    if stat.S_ISLNK(mode):
        yield partial(image.readlink, row)
    if stat.S_ISDIR(mode):
        yield partial(image.children, row)


def survives(open_it: Callable[[], Image]) -> bool:
    """Whether it opens; then all is asked. Anything but an error of ours is raised."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        image = open_it()
    except StorageError:
        return False
    finally:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KIB
    ask_everything(image)
    return True


def flipped(data: bytes, dice: random.Random, flips: int, within: Sequence[int]) -> bytes:
    """The same with some bytes changed: a bit, or the whole."""
    spoilt = bytearray(data)
    for _ in range(flips):
        at = dice.choice(within)
        spoilt[at] = dice.choice([spoilt[at] ^ 1 << dice.randrange(8), 0, 0xFF, dice.randrange(256)])
    return bytes(spoilt)
