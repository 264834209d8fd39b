"""The reference's v6 images, exported by us, in the hands of the kernel: the same tree."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from storage.errors import UnsupportedError
from storage.image.verbs import export_block
from storage.testing.erofs import CannotMountError, mounted

KINDS = {"reg": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK, "blk": stat.S_ISBLK}
KINDS |= {"chr": stat.S_ISCHR, "fifo": stat.S_ISFIFO, "sock": stat.S_ISSOCK}


@pytest.mark.claim("kernel")
@pytest.mark.root
def test_kernel_shows_the_tree(v6_variant: Any, tmp_path: Path) -> None:
    """Every path, kind, attribute, xattr and byte, read through the kernel's driver."""
    place = tmp_path / "mounted"
    place.mkdir()
    try:
        made = export_block(v6_variant.folder, tmp_path / "block.erofs")
        with mounted(made.path, place):
            compare(os.fsencode(place), v6_variant)
    except UnsupportedError as refusal:
        pytest.skip(f"refused by name: {refusal.message}")
    except CannotMountError as reason:
        pytest.skip(str(reason))


def compare(place: bytes, variant: Any) -> None:
    """The mounted tree against what it must be."""
    tree, from_tar = variant.tree(), any("tar" in option for option in variant.ref.get("options", ()))
    found = {b"/"}
    for folder, folders, files in os.walk(place):
        found |= {os.path.join(folder, name)[len(place) :] for name in folders + files}
    assert found == set(tree)
    for path, want in tree.items():
        at = place + path
        info = os.lstat(at)
        assert KINDS[want["type"]](info.st_mode), path
        assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (want["mode"], want["uid"], want["gid"]), path
        if path != b"/":
            assert info.st_mtime_ns == (want["mtime"] * 10**9 if from_tar else want["mtime_ns"]), path
        if want["type"] == "reg":
            assert info.st_nlink == want["nlink"]
            with open(at, "rb") as file:  # noqa: PTH123
                assert hashlib.file_digest(file, "sha256").hexdigest() == want["sha256"], path
        elif want["type"] == "symlink":
            assert os.readlink(at) == os.fsencode(want["target"])
        elif want["type"] in ("blk", "chr"):
            assert info.st_rdev == want["rdev"]
        names = os.listxattr(at, follow_symlinks=False)
        assert {name: os.getxattr(at, name, follow_symlinks=False).hex() for name in names} == want["xattrs"], path
