"""A tree that came out of an image, beside what the reference's maker recorded of it."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from typing import IO

from tests.interop.references import Variant

__all__ = ["compare_mounted", "compare_tar"]

KINDS = {"reg": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK, "blk": stat.S_ISBLK}
KINDS |= {"chr": stat.S_ISCHR, "fifo": stat.S_ISFIFO, "sock": stat.S_ISSOCK}


def compare_mounted(place: bytes, variant: Variant) -> None:
    """The mounted tree against what it must be."""
    tree, from_tar = variant.tree(), _from_tar(variant)
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


def compare_tar(packed: IO[bytes], variant: Variant) -> None:
    """A tar of the image against what it must be: kind, owner, time, bytes."""
    tree, from_tar = variant.tree(), _from_tar(variant)
    packed.seek(0)
    seen = set()
    with tarfile.open(fileobj=packed) as archive:
        for member in archive:
            path = b"/" if member.name == "." else b"/" + os.fsencode(member.name)
            seen.add(path)
            want = tree[path]
            assert (member.uid, member.gid, member.mode) == (want["uid"], want["gid"], want["mode"])
            if path != b"/":
                assert int(member.mtime) == (want["mtime"] if from_tar else want["mtime_ns"] // 10**9)
            if want["type"] == "reg":
                content = archive.extractfile(member)
                assert content is not None
                assert hashlib.sha256(content.read()).hexdigest() == want["sha256"], path
            if want["type"] == "symlink":
                assert member.linkname == want["target"]
    assert seen == {path for path, want in tree.items() if want["type"] != "sock"}


def _from_tar(variant: Variant) -> bool:
    return any("tar" in option for option in variant.ref.get("options", ()))
