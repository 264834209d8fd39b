"""Images cut short and flipped: they open and every question has an answer, or there is an error of ours.

Nothing else may come of any byte of a file that came from elsewhere: no other exception, no
endless walk, and no memory out of proportion.
"""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest

from storage.codec import Compressor
from storage.errors import FormatError, StorageError
from storage.events import Recorder
from storage.factory import open_store
from storage.image import Image, load_blob_meta_file, open_bootstrap, open_image, read_blob_meta
from storage.image.build import build
from storage.testing.spoilt import flipped, survives


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
    build(root, out, chunk_size=4096)
    return out


def test_whole(small: Path) -> None:
    """The image that is spoilt below is a good one."""
    assert survives(lambda: open_image(small))


def test_cut_short(small: Path) -> None:
    """A bootstrap that lacks its end is refused, wherever it was cut."""
    data = (small / "bootstrap").read_bytes()
    dice = random.Random(1)
    lengths = {*range(0, 2000, 37), *range(4096, len(data), 4096), len(data) - 1, *dice.sample(range(len(data)), 100)}
    for length in sorted(lengths):
        with pytest.raises(FormatError):
            open_bootstrap(data[:length])


@pytest.mark.parametrize("seed", range(4))
def test_flipped_anywhere(seed: int, small: Path) -> None:
    """A bootstrap with some bytes changed anywhere opens and answers, or is refused."""
    data, dice = (small / "bootstrap").read_bytes(), random.Random(seed)
    for _ in range(250):
        spoilt = flipped(data, dice, dice.choice([1, 1, 2, 8, 64]), range(len(data)))
        survives(lambda spoilt=spoilt: open_bootstrap(spoilt).image())


def test_flipped_where_it_counts(small: Path) -> None:
    """The same within superblocks, device slots and blob table: each bit of what is used, one at a time."""
    data = (small / "bootstrap").read_bytes()
    for at in [*range(1024, 1152), *range(1152, 1216), *range(1408, 1540)]:
        for bit in (0, 3, 7):
            spoilt = bytearray(data)
            spoilt[at] ^= 1 << bit
            survives(lambda spoilt=spoilt: open_bootstrap(bytes(spoilt)).image())


def test_flipped_tables(small: Path) -> None:
    """The same within the blob and chunk tables, and the inodes' first blocks."""
    data, dice = (small / "bootstrap").read_bytes(), random.Random(5)
    block = open_bootstrap(data).block
    for start, size in (block.blob_table, block.chunk_table, (block.meta_offset, 8192)):
        for _ in range(150):
            spoilt = flipped(data, dice, 1, range(start, start + size))
            survives(lambda spoilt=spoilt: open_bootstrap(spoilt).image())


@pytest.mark.parametrize("width", [2, 4, 8])
def test_extreme_numbers(width: int, small: Path) -> None:
    """Fields of superblock, inodes and tables at their extremes: refused or harmless, and no memory is taken."""
    data, dice = (small / "bootstrap").read_bytes(), random.Random(width)
    block = open_bootstrap(data).block
    spans = [range(1024, 1540), range(block.blob_table[0], sum(block.blob_table)), range(block.meta_offset, len(data))]
    for value in (0, (1 << 8 * width) - 1, 1 << (8 * width - 1), (1 << (8 * width - 1)) - 1):
        for span in spans:
            for at in dice.sample(span, 60):
                spoilt = data[:at] + value.to_bytes(width, "little") + data[at + width :]
                survives(lambda spoilt=spoilt: open_bootstrap(spoilt).image())


def test_blob_meta(small: Path) -> None:
    """A blob.meta cut short is refused; one with bytes changed is refused, or fits its bootstrap."""
    bootstrap = open_bootstrap(small)
    (info,) = bootstrap.infos
    raw = (small / "blobs" / info.blob_id).read_bytes()[info.meta_ci_offset :]
    dice = random.Random(2)
    for length in (0, 1, 100, 4095, 4096, len(raw) - 4097, len(raw) - 1):
        with pytest.raises(FormatError):
            read_blob_meta(raw[:length], info)
    good = read_blob_meta(raw[: info.meta_ci_compressed_size + 4096], info)
    for _ in range(400):
        spoilt = flipped(raw[: info.meta_ci_compressed_size + 4096], dice, 1, range(info.meta_ci_compressed_size + 40))
        survives(lambda spoilt=spoilt: bootstrap.with_blob_meta([read_blob_meta(spoilt, info)]))
    for _ in range(400):
        spoilt = flipped(good.content, dice, dice.choice([1, 4]), range(16 * info.chunk_count))
        survives(lambda spoilt=spoilt: bootstrap.with_blob_meta([load_blob_meta_file(spoilt, info)]))


def test_no_wrong_byte(small: Path, tmp_path: Path) -> None:
    """Whatever is flipped in the blob: each file is read as it was, or not at all."""
    (blob,) = (small / "blobs").iterdir()
    data, dice = blob.read_bytes(), random.Random(3)
    with open_store(small, cache_dir=tmp_path / "good") as rafs:
        files = {p: rafs.read(p) for p, r in zip(*rafs.image.paths(), strict=True) if _regular(rafs.image, int(r))}
    (tmp_path / "blobs").mkdir()
    refused = 0
    for number in range(30):
        (tmp_path / "blobs" / blob.name).write_bytes(flipped(data, dice, 3, range(len(data) - 5000)))
        cache, recorder = tmp_path / str(number), Recorder()
        with open_store(small / "bootstrap", tmp_path / "blobs", cache_dir=cache, recorder=recorder) as rafs:
            for path, content in files.items():
                try:
                    assert rafs.read(path) == content
                except StorageError:
                    refused += 1
    assert refused > 0


def _regular(image: Image, row: int) -> bool:
    return stat.S_ISREG(int(image.inodes.mode[row]))


@pytest.mark.parametrize("compressor", ["none", "lz4_block", "zstd"])
def test_store_on_a_spoilt_bootstrap(compressor: str, tree: Path, tmp_path: Path) -> None:
    """The whole store over a flipped bootstrap: files are read or refused, and nothing else is raised."""
    build(tree, tmp_path / "image", compressor=compressor, chunk_size=64 << 10)
    bootstrap, dice = tmp_path / "image" / "bootstrap", random.Random(Compressor.from_name(compressor))
    data = bootstrap.read_bytes()
    for number in range(25):
        bootstrap.write_bytes(flipped(data, dice, dice.choice([1, 4, 16]), range(len(data))))
        try:
            with open_store(tmp_path / "image", cache_dir=tmp_path / str(number)) as rafs:
                for row in range(len(rafs.image.inodes)):
                    if _regular(rafs.image, row) and rafs.image.inodes.size[row] < 4 << 20:
                        _read_or_refuse(rafs, row)
        except StorageError:
            continue


def _read_or_refuse(rafs: object, row: int) -> None:
    try:
        rafs.read(row)
    except StorageError:
        return
