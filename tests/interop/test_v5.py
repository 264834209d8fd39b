"""What only RAFS v5 images have: digests up the tree, a prefetch table by inode number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.errors import IntegrityError
from storage.image import Bootstrap, check_inode_digests, locate, open_bootstrap

V5 = ("layers-v5-merge-none", "v5-lz4", "v5-lz4-inline", "v5-lz4-prefetch", "v5-targz-rafs", "v5-zstd-sha256")


def opened(refs: Path, name: str) -> Bootstrap:
    """A reference image's bootstrap."""
    if not (refs / name).is_dir():
        pytest.skip(f"no {name} in {refs}")
    return open_bootstrap(refs / name)


@pytest.mark.parametrize("name", V5)
def test_every_digest(name: str, refs: Path) -> None:
    """Each inode of the reference's image has the digest that its content, children or target give."""
    bootstrap = opened(refs, name)
    assert check_inode_digests(bootstrap) == len(bootstrap.inodes) > 0


def test_a_changed_digest_is_named(refs: Path) -> None:
    """A bit of any inode's digest changed: that inode's path is in the error."""
    bootstrap = opened(refs, "v5-lz4")
    content = locate(refs / "v5-lz4").bootstrap
    image, tried = bootstrap.image(), 0
    for row, digest in enumerate(map(bytes, bootstrap.inode_digests)):
        if content.count(digest) == 1:
            spoilt = bytearray(content)
            spoilt[content.index(digest) + row % 32] ^= 1 << row % 8
            with pytest.raises(IntegrityError) as caught:
                check_inode_digests(open_bootstrap(bytes(spoilt)))
            assert caught.value.where["path"] == image.path_of(row)
            tried += 1
    assert tried > 200


def test_prefetch_table(refs: Path) -> None:
    """The files that were named to the builder, in its order; what it did not find is not there."""
    bootstrap = opened(refs, "v5-lz4-prefetch")
    image = bootstrap.image()
    ref = json.loads((refs / "v5-lz4-prefetch" / "ref.json").read_text())
    listed = json.loads(ref["inspect_prefetch"].splitlines()[-1])
    assert [image.path_of(row) for row in image.prefetch] == [entry["path"][0].rstrip("/") for entry in listed]
    assert [int(image.inodes.nid[row]) for row in image.prefetch] == [entry["inode"] for entry in listed]


@pytest.mark.parametrize("name", [name for name in V5 if name.startswith("v5")])
def test_what_inspect_says(name: str, refs: Path) -> None:
    """Blobs, sizes and counts are those that the reference's `inspect` and `stat` tell."""
    bootstrap = opened(refs, name)
    ref = json.loads((refs / name / "ref.json").read_text())
    listed = json.loads(ref["inspect_blobs"].splitlines()[-1])
    told, chunks = ref["stat"]["base_image"], bootstrap.image().chunks
    assert (len(chunks), len(bootstrap.extents)) == (told["own_chunks"], told["chunks"])
    assert int(chunks.compressed_size.sum()) == told["own_comp_size"]
    assert int(bootstrap.extents.length.sum()) == told["file_size"]
    for info, entry in zip(bootstrap.infos, listed, strict=True):
        assert info.blob_id == entry["blob_id"]
        assert (info.compressed_size, info.uncompressed_size) == (entry["compressed_size"], entry["decompressed_size"])
        assert (info.prefetch_offset, info.prefetch_size) == (entry["readahead_offset"], entry["readahead_size"])
