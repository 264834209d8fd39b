"""Images that the reference made: every attribute and every byte, or a refusal by name."""

from __future__ import annotations

import hashlib
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from storage.errors import UnsupportedError
from storage.events import Recorder, audit
from storage.factory import open_store
from storage.image import Image, open_bootstrap, open_image
from storage.image.tables import PLAIN

MUST_OPEN = {
    "layers-v5-merge-none",
    "v5-lz4",
    "v5-lz4-inline",
    "v5-lz4-prefetch",
    "v5-targz-rafs",
    "v5-zstd-sha256",
    "chunkdict-v6",
    "layers-v6-merge-none",
    "layers-v6-parent-bootstrap",
    "v6-none",
    "v6-lz4",
    "v6-lz4-batch64k",
    "v6-tar-rafs",
    "v6-zran",
    "v6-zran-inline-toc",
    "v6-zstd",
    "v6-zstd-batch",
    "v6-zstd-chunk4k",
    "v6-zstd-chunk64k",
    "v6-zstd-encrypt",
    "v6-zstd-inline",
    "v6-zstd-inline-toc",
    "v6-zstd-prefetch",
    "v6-zstd-prefetch-blob",
}
REFUSALS = r"tarfs"
KINDS = {
    "reg": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "blk": stat.S_IFBLK,
    "chr": stat.S_IFCHR,
    "fifo": stat.S_IFIFO,
    "sock": stat.S_IFSOCK,
}


def opened(variant: Any) -> Image:
    """The image, where it can be read; else the test ends here, having seen the refusal."""
    try:
        return open_image(variant.folder)
    except UnsupportedError as refusal:
        assert variant.name not in MUST_OPEN
        pytest.skip(f"refused by name: {refusal.message}")


def expected(entry: dict[str, Any]) -> dict[str, object]:
    """What must be known of a file; of directories the size is EROFS's own."""
    found = {key: entry[key] for key in ("mode", "uid", "gid", "nlink", "mtime_ns", "rdev")}
    found |= {"kind": KINDS[entry["type"]], "xattrs": entry["xattrs"]}
    if entry["type"] == "symlink":
        # The reference does not keep symbolic links together: each is counted once.
        found |= {"target": entry["target"], "nlink": 1}
    if entry["type"] in ("reg", "symlink"):
        found["size"] = entry["size"]
    return found


def known(image: Image, row: int, entry: dict[str, Any]) -> dict[str, object]:
    """The same of the image."""
    info = image.stat(row)
    found: dict[str, object] = {
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "nlink": info.st_nlink,
        "mtime_ns": info.st_mtime_ns,
        "rdev": info.st_rdev,
        "kind": stat.S_IFMT(info.st_mode),
        "xattrs": {name: value.hex() for name, value in image.xattrs(row).items()},
    }
    if entry["type"] == "symlink":
        found["target"] = image.readlink(row).decode("utf-8", "surrogateescape")
    if entry["type"] in ("reg", "symlink"):
        found["size"] = info.st_size
    return found


@pytest.mark.claim("attributes")
def test_every_attribute(variant: Any) -> None:
    """Paths, kinds, modes, owners, sizes, links, times, devices, xattrs and targets are those of the tree.

    The root's time is left out: a directory build stores 0, a merge the time of the build. From
    a tar the reference takes whole seconds only.
    """
    image, tree = opened(variant), variant.tree()
    from_tar = any("tar" in option for option in variant.ref.get("options", ()))
    paths, rows = image.paths()
    assert sorted(paths) == sorted(tree)
    for path, row in zip(paths, rows.tolist(), strict=True):
        want, got = expected(tree[path]), known(image, row, tree[path])
        if path == b"/":
            del want["mtime_ns"], got["mtime_ns"]
        elif from_tar:
            want["mtime_ns"] = tree[path]["mtime"] * 10**9
        assert got == want, path
        assert image.lookup(path) == row


@pytest.mark.claim("content")
def test_every_byte(variant: Any, tmp_path: Path) -> None:
    """Each file, read through the store, has the SHA-256 of the tree; afterwards the books balance."""
    opened(variant)
    recorder, files = Recorder(), {path: e for path, e in variant.tree().items() if e["type"] == "reg"}
    with open_store(variant.folder, cache_dir=tmp_path, recorder=recorder) as rafs:
        for path, entry in files.items():
            assert hashlib.sha256(rafs.read(path)).hexdigest() == entry["sha256"], path
    size = sum(entry["size"] for entry in files.values())
    assert audit(recorder.table()).asked == size
    print(f"{variant.name:28} {len(files):4} files of {size:12,} bytes, each as it must be")


def test_refused_by_name(variant: Any) -> None:
    """An image opens, or it is refused with its path and the feature; the plain ones are not refused."""
    try:
        open_image(variant.folder)
    except UnsupportedError as refusal:
        assert variant.name not in MUST_OPEN
        assert re.search(REFUSALS, refusal.message)
        assert str(variant.folder) in str(refusal)


def test_bootstrap_alone(variant: Any) -> None:
    """Without blobs, an image's files are made of the same chunks at the same places."""
    image = opened(variant)
    alone = open_bootstrap(variant.folder).image()
    used = image.extents.chunk[image.chunks.kind[image.extents.chunk] == PLAIN]  # of others only blob.meta knows
    for column in ("compressed_offset", "compressed_size", "uncompressed_offset", "uncompressed_size", "digest"):
        assert (getattr(alone.chunks, column)[used] == getattr(image.chunks, column)[used]).all(), column
