"""Every kind of blob that can be built: read back, checked, spoilt."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.codec import Cipher
from storage.errors import ConfigError, FormatError, StorageError, UnsupportedError
from storage.factory import open_store
from storage.image import Bootstrap, load_blob_meta_file, open_bootstrap, open_image, read_blob_meta
from storage.image.build import build
from storage.image.tables import BATCH

KINDS: dict[str, dict[str, Any]] = {
    "batched": {"batch_size": 16 << 10},
    "batched, lz4": {"batch_size": 64 << 10, "compressor": "lz4_block"},
    "batched, none": {"batch_size": 64 << 10, "compressor": "none"},
    "encrypted": {"encrypt": True},
    "encrypted, none": {"encrypt": True, "compressor": "none"},
    "batched and encrypted": {"batch_size": 16 << 10, "encrypt": True},
    "batched and encrypted, none": {"batch_size": 16 << 10, "encrypt": True, "compressor": "none"},
    "inline": {"inline": True},
    "with a ToC": {"toc": True},
    "inline with a ToC, batched": {"inline": True, "toc": True, "batch_size": 16 << 10},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of lengths around a cipher's unit, a block, half a batch and a chunk; the last is alone in its batch."""
    root, dice = tmp_path_factory.mktemp("tree"), random.Random(4)
    for size in (1, 2, 15, 16, 17, 18, 4095, 4096, 4097, 8191, 8192, 16_384, 20_000, 65_536, 70_000, 200_000):
        (root / f"noise-{size:06}").write_bytes(dice.randbytes(size))
        (root / f"text-{size:06}").write_bytes((b"%d " % size * size)[:size])
    (root / "twice").write_bytes((root / "text-004096").read_bytes())
    (root / "zz").mkdir()
    (root / "zz" / "last").write_bytes(b"!")
    return root


def contents(root: Path) -> dict[str, bytes]:
    """What each file holds."""
    return {f"/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("plan", ["exact", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_read_back(kind: str, plan: str, files: Path, tmp_path: Path) -> None:
    """Each file of an image of each kind reads as it was, cold and warm, in an order that is not the image's."""
    built = build(files, tmp_path, chunk_size=64 << 10, **KINDS[kind])
    want = list(contents(files).items())
    random.Random(1).shuffle(want)
    for _ in range(2):
        with open_store(built.bootstrap, tmp_path / "blobs", cache_dir=tmp_path / "cache", plan=plan) as rafs:
            assert [(path, rafs.read(path)) for path, _ in want] == want


def test_small_batches_of_an_encrypted_blob(files: Path, tmp_path: Path) -> None:
    """A batch that is smaller than a cipher's unit is padded, and is no compressed one for that."""
    build(files, tmp_path, batch_size=16 << 10, encrypt=True)
    image = open_image(tmp_path)
    row = int(image.extents.chunk[image.inodes.first_extent[image.lookup("/zz/last")]])
    chunks = image.chunks
    assert (chunks.kind[row], chunks.unit_size[row], chunks.compressed_size[row]) == (BATCH, 1, 18)
    with open_store(tmp_path, cache_dir=tmp_path / "cache") as rafs:
        assert rafs.read("/zz/last") == b"!"


def test_keys_are_drawn(files: Path, tmp_path: Path) -> None:
    """Two builds have two keys, and so two blobs; a given key has the same blob again."""
    key, iv = bytes(range(32)), bytes(16)
    drawn = [build(files, tmp_path / name, encrypt=True) for name in "ab"]
    given = [build(files, tmp_path / name, encrypt=(key, iv)) for name in "cd"]
    assert drawn[0].blob and drawn[1].blob and given[0].blob and given[1].blob
    assert drawn[0].blob.name != drawn[1].blob.name
    assert given[0].blob.read_bytes() == given[1].blob.read_bytes()
    assert b"%d " % 200_000 * 10 not in given[0].blob.read_bytes()


def test_wrong_key(files: Path, tmp_path: Path) -> None:
    """Under another key the blob is noise, and blob.meta is refused for what it is."""
    build(files, tmp_path, encrypt=True)
    bootstrap, raw = meta_of(tmp_path)
    (info,) = bootstrap.infos
    with pytest.raises(FormatError, match=r"blob\.meta"):
        read_blob_meta(raw, replace(info, cipher_key=bytes(range(32))))


def test_options_that_do_not_go_together(files: Path, tmp_path: Path) -> None:
    """Sizes that are none, and what one version has not, are refused before anything is written."""
    for options, message in (
        ({"batch_size": 5000}, "a batch size of 5000 is none"),
        ({"batch_size": 32 << 20}, "is none: 0 and powers of two"),
        ({"batch_size": 64 << 10, "version": 5}, "are of v6"),
        ({"toc": True, "compressor": "gzip"}, "cannot speak of gzip"),
        ({"aligned_chunk": True}, "chunks of v6 are aligned"),
    ):
        with pytest.raises(ConfigError, match=message):
            build(files, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def meta_of(folder: Path) -> tuple[Bootstrap, bytes]:
    """A bootstrap of one blob, and its blob.meta as it lies in the blob."""
    bootstrap = open_bootstrap(folder)
    (info,) = bootstrap.infos
    start, length = info.meta_ci_offset, info.meta_ci_compressed_size + 4096
    return bootstrap, (folder / "blobs" / info.blob_id).read_bytes()[start : start + length]


def survives(bootstrap: Bootstrap, content: bytes) -> bool:
    """Whether a blob.meta opens; anything but an error of ours is raised."""
    try:
        meta = load_blob_meta_file(content, bootstrap.infos[0])
        bootstrap.with_blob_meta([meta])
    except StorageError:
        return False
    inside = meta.unit_offset + meta.uncompressed_size
    assert (inside <= meta.unit_size).all()
    assert (meta.unit_size <= 16 << 20).all()
    assert (meta.compressed_size <= 32 << 20).all()
    assert (meta.compressed_offset + meta.compressed_size <= bootstrap.infos[0].compressed_size).all()
    return True


@pytest.mark.parametrize("kind", ["batched", "encrypted", "batched and encrypted"])
def test_spoilt_meta(kind: str, files: Path, tmp_path: Path) -> None:
    """A blob.meta of version 2 with bytes changed, in chunks, contexts or header, is refused or stays within bounds."""
    build(files, tmp_path, chunk_size=64 << 10, **KINDS[kind])
    bootstrap, raw = meta_of(tmp_path)
    (info,) = bootstrap.infos
    good = read_blob_meta(raw, info).content
    assert survives(bootstrap, good)
    dice, header = random.Random(kind), len(good) - 4096
    places = [*range(info.meta_ci_uncompressed_size), *range(header, header + 64)]
    opened = 0
    for _ in range(1500):
        spoilt = bytearray(good)
        for _ in range(dice.choice([1, 1, 2, 8])):
            at = dice.choice(places)
            spoilt[at] = dice.choice([spoilt[at] ^ 1 << dice.randrange(8), 0, 0xFF, dice.randrange(256)])
        opened += survives(bootstrap, bytes(spoilt))
    assert opened < 1500


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        ("compressed size", 0xFFFF_FFFF, "is stored in more than a chunk may be"),
        ("plain size", 0xFFFF_FFFF, "is larger than a chunk may be"),
        ("plain size", 3, "does not fit its batch"),
        ("number", 0xFFFF_FFFF, "context is not there"),
        ("count", 0xFFFF_FFFF, "contexts are not"),
    ],
)
def test_bombs(at: str, value: int, message: str, files: Path, tmp_path: Path) -> None:
    """Sizes and numbers out of all proportion are refused by name, before memory is taken."""
    build(files, tmp_path, chunk_size=64 << 10, batch_size=16 << 10)
    bootstrap, raw = meta_of(tmp_path)
    (info,) = bootstrap.infos
    spoilt = bytearray(read_blob_meta(raw, info).content)
    first = int(np.flatnonzero(read_blob_meta(raw, info).kind == BATCH)[0])
    array = info.chunk_count * 24
    place = {
        "compressed size": array,
        "plain size": array + 4,
        "number": first * 24 + 20,
        "count": len(spoilt) - 4096 + 56,
    }[at]
    struct.pack_into("<I", spoilt, place, value)
    with pytest.raises(FormatError, match=message):
        bootstrap.with_blob_meta([load_blob_meta_file(bytes(spoilt), info)])


def test_ciphers_refused_by_name(files: Path, tmp_path: Path) -> None:
    """A blob table with a cipher that cannot work is refused by its name; one without a cipher is broken."""
    build(files, tmp_path, encrypt=True)
    data = bytearray((tmp_path / "bootstrap").read_bytes())
    place = open_bootstrap(bytes(data)).block.blob_table[0] + 216
    assert data[place : place + 4] == struct.pack("<I", Cipher.AES128XTS)
    for value, error, message in (
        (2, UnsupportedError, "aes256xts"),
        (3, UnsupportedError, "aes256gcm"),
        (0, FormatError, "encrypted by no cipher"),
        (9, FormatError, "9 is not a valid Cipher"),
    ):
        struct.pack_into("<I", data, place, value)
        with pytest.raises(error, match=message):
            open_bootstrap(bytes(data))
