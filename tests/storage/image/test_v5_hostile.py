"""v5 bootstraps cut short and flipped: they open and every question has an answer, or there is an error of ours."""

from __future__ import annotations

import random
import stat
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import FormatError, StorageError, UnsupportedError
from storage.factory import open_store
from storage.image import check_inode_digests, open_bootstrap, open_image
from storage.image.build import Node, build
from storage.image.v5._ondisk import INODE, SUPER_BLOCK
from storage.image.v5._super import read_super_block
from storage.testing.spoilt import flipped, survives

CHUNK_SIZE = 4096


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of a little of everything, in chunks of 4 KiB."""
    root = tmp_path_factory.mktemp("tree")
    (root / "d" / "e").mkdir(parents=True)
    dice = random.Random(8)
    for number in range(30):
        (root / "d" / f"file-{number}").write_bytes(dice.randbytes(number * 400))
    (root / "text").write_bytes(b"lazy loading\n" * 3000)
    (root / "link").symlink_to("d/e")
    (root / "long").symlink_to("t" * 4000)
    (root / "hard").hardlink_to(root / "text")
    out = tmp_path_factory.mktemp("image")
    build(root, out, version=5, chunk_size=CHUNK_SIZE, prefetch=["/d"], prefetch_policy="fs")
    return out


@pytest.fixture(scope="module")
def good(small: Path) -> bytes:
    """Its bootstrap."""
    return (small / "bootstrap").read_bytes()


def places(data: bytes) -> list[int]:
    """Where each inode lies."""
    start, size = read_super_block(np.frombuffer(data, np.uint8)).inode_table
    return [slot * 8 for slot in struct.unpack_from(f"<{size // 4}I", data, start)]


def used(data: bytes) -> range:
    """Bytes past the superblock's reserved ones."""
    return range(read_super_block(np.frombuffer(data, np.uint8)).inode_table[0], len(data))


def changed(data: bytes, offset: int, dtype: np.dtype, **values: int) -> bytes:
    """The same with fields of the record at `offset` changed."""
    spoilt = bytearray(data)
    record = np.frombuffer(spoilt, dtype, 1, offset)
    for name, value in values.items():
        record[name] = value
    return bytes(spoilt)


def opens(data: bytes) -> bool:
    """Whether it opens; whatever it does takes no longer than two seconds."""
    start = time.monotonic()
    try:
        return survives(lambda: open_bootstrap(data).image())
    finally:
        assert time.monotonic() - start < 2


def test_whole(small: Path, good: bytes) -> None:
    """The image that is spoilt below is a good one."""
    assert survives(lambda: open_image(small))
    assert check_inode_digests(open_bootstrap(good)) == len(places(good)) - 1


def test_cut_short(good: bytes) -> None:
    """A bootstrap that lacks its end is refused, wherever it was cut."""
    dice = random.Random(1)
    for length in sorted({*range(4, 100), len(good) - 8, *dice.sample(range(4, len(good) - 8), 300)}):
        with pytest.raises(FormatError):
            open_bootstrap(good[:length])


@pytest.mark.parametrize("seed", range(4))
def test_flipped_anywhere(seed: int, good: bytes) -> None:
    """A bootstrap with some bytes changed anywhere opens and answers, or is refused."""
    dice, within = random.Random(seed), [*range(80), *used(good)]
    for _ in range(250):
        opens(flipped(good, dice, dice.choice([1, 1, 2, 8, 64]), within))


def test_flipped_where_it_counts(good: bytes) -> None:
    """The same within the superblock: each bit, one at a time."""
    for at in range(SUPER_BLOCK.itemsize):
        for bit in range(8):
            spoilt = bytearray(good)
            spoilt[at] ^= 1 << bit
            opens(bytes(spoilt))


@pytest.mark.parametrize("width", [2, 4, 8])
def test_extreme_numbers(width: int, good: bytes) -> None:
    """Fields of superblock, tables and inodes at their extremes: refused or harmless, and no memory is taken."""
    dice = random.Random(width)
    spans = [range(80), range(8192, places(good)[0]), range(places(good)[0], len(good))]
    for value in (0, (1 << 8 * width) - 1, 1 << (8 * width - 1), (1 << (8 * width - 1)) - 1):
        for span in spans:
            for at in dice.sample(span, 60):
                opens(good[:at] + value.to_bytes(width, "little") + good[at + width :])


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_field_of_any_inode(data: st.DataObject, good: bytes) -> None:
    """Any value in any field of an inode: it opens and answers, or is refused."""
    place = data.draw(st.sampled_from(places(good)))
    names = [name for name in INODE.names or () if INODE[name].kind == "u" and INODE[name].shape == ()]
    name = data.draw(st.sampled_from(names))
    limit = (1 << 8 * INODE[name].itemsize) - 1
    near = st.sampled_from([0, 1, 2, len(places(good)), len(good), limit, limit - 1, limit >> 1])
    opens(changed(good, place, INODE, **{name: data.draw(near | st.integers(0, limit))}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"child_index": 1}, "children are not behind it"),
        ({"child_count": 1 << 31}, "children are not behind it"),
        ({"ino": 0}, "number is not in the table"),
        ({"ino": 2}, "a further name is of no file"),
        ({"mode": stat.S_IFREG | 0o644}, "the root is not a directory"),
        ({"name_size": 0xFFFF}, "a name is too long"),
        ({"flags": 8}, "has holes"),
    ],
)
def test_refused_by_name(fields: dict[str, int], message: str, good: bytes) -> None:
    """A root that leads back to itself, to nothing, or is none is refused, and the message says why."""
    with pytest.raises(FormatError, match=message):
        open_bootstrap(changed(good, places(good)[0], INODE, **fields))


def test_names_that_climb(good: bytes) -> None:
    """Names with a slash or a zero byte, and those of directories themselves, are refused."""
    place = good.index(b"file-10")
    for name in (b"file/10", b"file\x0010"):
        with pytest.raises(FormatError, match="slash"):
            open_bootstrap(good[:place] + name + good[place + 7 :])
    inode = place - INODE.itemsize
    for name in (b".", b".."):
        spoilt = changed(good, inode, INODE, name_size=len(name))
        with pytest.raises(FormatError, match="that of a directory itself"):
            open_bootstrap(spoilt[:place] + name.ljust(7, b"\0") + spoilt[place + 7 :])


def test_two_names_for_a_folder(good: bytes) -> None:
    """An inode that two directories have, or none, is refused."""
    data = places(good)
    folders = [p for p in data if stat.S_ISDIR(int(np.frombuffer(good, INODE, 1, p)["mode"][0]))]
    leaf = next(p for p in folders if np.frombuffer(good, INODE, 1, p)["child_count"][0] == 0)
    with pytest.raises(FormatError, match="names for"):
        open_bootstrap(changed(good, leaf, INODE, child_count=1, child_index=len(data)))


def tower(depth: int) -> Node:
    """Directories, one within the other."""
    top = node = Node(b"d", "/", stat.S_IFDIR | 0o755)
    for _ in range(depth):
        node.children.append(Node(b"d", "/", stat.S_IFDIR | 0o755))
        node = node.children[0]
    return top


def test_nested_deeply(tmp_path: Path) -> None:
    """As deep as a path can be long is well; deeper is refused by name, whatever the depth."""
    build(tower(2000), tmp_path / "deep", version=5)
    assert len(open_image(tmp_path / "deep").inodes) == 2001
    for depth in (2100, 30_000):
        build(tower(depth), tmp_path / str(depth), version=5)
        with pytest.raises(FormatError, match="nested deeper"):
            open_image(tmp_path / str(depth))


def test_inodes_within_each_other(good: bytes) -> None:
    """Files that share one run of chunk records, so that together they are more than the file holds, are refused."""
    files = [p for p in places(good) if stat.S_ISREG(int(np.frombuffer(good, INODE, 1, p)["mode"][0]))]
    spoilt = good
    for place in files:
        count = (len(good) - place - 400) // 80
        spoilt = changed(spoilt, place, INODE, child_count=count, size=count * CHUNK_SIZE)
    with pytest.raises(FormatError, match="within each other"):
        open_bootstrap(spoilt)


def test_other_versions_by_name(good: bytes) -> None:
    """Another version, or flags that are unknown, are refused by name."""
    for fields in ({"version": 0x400}, {"flags": 1 << 20}):
        with pytest.raises(UnsupportedError):
            open_bootstrap(changed(good, 0, SUPER_BLOCK, **fields))


def test_store_on_a_spoilt_bootstrap(small: Path, good: bytes, tmp_path: Path) -> None:
    """The whole store over a flipped bootstrap: a file is read as it was or refused, under both plans."""
    dice, within = random.Random(4), [*range(80), *used(good)]
    with open_store(small, cache_dir=tmp_path / "good") as rafs:
        text = rafs.read("/text")
    for number in range(60):
        (tmp_path / "bootstrap").write_bytes(flipped(good, dice, dice.choice([1, 4, 16]), within))
        cache, plan = tmp_path / str(number), ("exact", "reference")[number % 2]
        try:
            with open_store(tmp_path / "bootstrap", small / "blobs", cache_dir=cache, plan=plan) as rafs:
                for path, row in zip(*rafs.image.paths(), strict=True):
                    _read_or_refuse(rafs, path, int(row), text)
        except StorageError:
            continue


def _read_or_refuse(rafs: object, path: bytes, row: int, text: bytes) -> None:
    inodes = rafs.image.inodes
    if not stat.S_ISREG(int(inodes.mode[row])) or inodes.size[row] > 4 << 20:
        return
    try:
        content = rafs.read(path)
    except StorageError:
        return
    if path == b"/text" and len(content) == len(text):
        assert content == text
