"""Images as tars: what GNU tar and tarfile find in them is what is in the image."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from storage.errors import IntegrityError
from storage.image import Image, open_image
from storage.image.build import Node, build
from storage.image.verbs import Unpacked, unpack
from storage.testing.trees import Entry, entries, write_tree


def tar_of(folder: Path) -> tuple[bytes, Unpacked]:
    """An image's tar."""
    out = io.BytesIO()
    done = unpack(open_image(folder), folder / "blobs", out)
    return out.getvalue(), done


def known(image: Image, path: bytes, row: int) -> dict[str, object]:
    """What an image knows of a file, as far as a tar can say it."""
    info = image.stat(row)
    found: dict[str, object] = {
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime_ns": info.st_mtime_ns,
        "xattrs": image.xattrs(row),
    }
    if stat.S_ISLNK(info.st_mode):
        found["target"] = image.readlink(row)
    return found


def told(member: tarfile.TarInfo) -> dict[str, object]:
    """The same of a member."""
    seconds, _, fraction = member.pax_headers.get("mtime", "").partition(".")
    found: dict[str, object] = {
        "mode": member.mode,
        "uid": member.uid,
        "gid": member.gid,
        "mtime_ns": int(seconds) * 10**9 + int(fraction.ljust(9, "0")) if seconds else int(member.mtime) * 10**9,
        "xattrs": {
            name.removeprefix("SCHILY.xattr."): os.fsencode(value)
            for name, value in member.pax_headers.items()
            if name.startswith("SCHILY.xattr.")
        },
    }
    if member.issym():
        found["target"] = os.fsencode(member.linkname)
    return found


def same_as_image(tar: bytes, image: Image) -> None:
    """Every file of the image is in the tar, with all that is known of it."""
    paths, rows = image.paths()
    wanted = dict(zip(paths, rows.tolist(), strict=True))
    sockets = {path for path, row in wanted.items() if stat.S_ISSOCK(int(image.inodes.mode[row]))}
    seen = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            path = b"/" if member.name == "." else b"/" + os.fsencode(member.name)
            row = wanted[path]
            seen[path] = row
            if member.islnk():
                assert row == seen[b"/" + os.fsencode(member.linkname)]
                continue
            assert told(member) == known(image, path, row), path
            assert member.size == (int(image.inodes.size[row]) if member.isreg() else 0)
    assert set(seen) == set(wanted) - sockets


def test_tarfile_reads_the_same(tree: Path, image_dir: Path) -> None:
    """Names, kinds, attributes and bytes of a tree, out of its image's tar."""
    tar, done = tar_of(image_dir)
    image = open_image(image_dir)
    same_as_image(tar, image)
    assert (done.files, done.sockets) == (len(image.entries) + 1, 0)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive.getmembers():
            if member.isreg() or member.islnk():
                content = archive.extractfile(member)
                assert content is not None
                assert content.read() == (tree / member.name).read_bytes()


@given(wanted=entries())
@settings(max_examples=25)
def test_any_tree(wanted: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever a tree holds, tarfile reads out of the tar what went in; so does GNU tar."""
    root = tmp_path_factory.mktemp("any")
    (root / "tree").mkdir()
    write_tree(root / "tree", wanted)
    build(root / "tree", root / "image", chunk_size=4096)
    tar, _ = tar_of(root / "image")
    image = open_image(root / "image")
    same_as_image(tar, image)
    gnu = shutil.which("tar")
    if gnu and b"GNU" in subprocess.run([gnu, "--version"], capture_output=True).stdout:
        run = subprocess.run([gnu, "-t", "-f", "-", "--quoting-style=escape"], input=tar, capture_output=True)
        assert (run.returncode, run.stderr) == (0, b"")
        sockets = int((image.inodes.mode & 0o170000 == stat.S_IFSOCK).sum())
        assert run.stdout.count(b"\n") == len(image.entries) + 1 - sockets
    shutil.rmtree(root)


def unusual() -> Node:
    """A tree that takes root to make on disk: devices, large ids, every namespace of xattrs."""
    names = [b"r\xe4w", "größe".encode(), b"new\nline", b"n" * 255]
    root = Node(name=b"", path="/", mode=stat.S_IFDIR | 0o755, mtime_ns=5)
    for number, name in enumerate(sorted(names)):
        root.children.append(
            Node(name=name, path="/", mode=stat.S_IFLNK | 0o777, target=name * 4, size=len(name) * 4, mtime_ns=number)
        )
    for name, mode, rdev in (
        (b"blk", stat.S_IFBLK, os.makedev(8, 1)),
        (b"chr", stat.S_IFCHR, os.makedev(259, 0x12345)),
        (b"fifo", stat.S_IFIFO, 0),
        (b"sock", stat.S_IFSOCK, 0),
    ):
        xattrs = (("trusted.x", b"\n\0=\xff"),)
        root.children.append(
            Node(name=name, path="/", mode=mode | 0o4755, rdev=rdev, uid=1 << 31, gid=3_000_000, xattrs=xattrs)
        )
    capability = b"\0\0\0\2" + b"\0\4" + bytes(14)
    xattrs = (("security.capability", capability), ("user.empty", b""), ("user.y", bytes(range(256))))
    root.children.append(Node(name=b"reg", path="/", mode=stat.S_IFREG | 0o755, xattrs=xattrs))
    root.children.sort(key=lambda node: node.name)
    return root


def test_unusual(tmp_path: Path) -> None:
    """Devices, ids over two million, names that are no text, xattrs with any byte; sockets are counted."""
    build(unusual(), tmp_path)
    tar, done = tar_of(tmp_path)
    same_as_image(tar, open_image(tmp_path))
    assert (done.files, done.sockets) == (9, 1)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        device = archive.getmember("chr")
        assert (device.devmajor, device.devminor) == (259, 0x12345)


@pytest.mark.root
def test_extracted_by_gnu_tar(tmp_path: Path) -> None:
    """Extracted as root, even the unusual is on disk as it is in the image."""
    if os.geteuid() != 0 or shutil.which("tar") is None:
        pytest.skip("takes root and GNU tar")
    build(unusual(), tmp_path / "image")
    tar, _ = tar_of(tmp_path / "image")
    (tmp_path / "out").mkdir()
    command = ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", str(tmp_path / "out")]
    run = subprocess.run(command, input=tar, capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    image = open_image(tmp_path / "image")
    for name, row in image.children(0):
        if name == b"sock":
            continue
        place = os.path.join(os.fsencode(tmp_path / "out"), name)
        found, info = os.lstat(place), image.stat(row)
        for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_rdev"):
            assert getattr(found, field) == getattr(info, field), (name, field)
        keys = os.listxattr(place, follow_symlinks=False)
        assert {key: os.getxattr(place, key, follow_symlinks=False) for key in keys} == image.xattrs(row)


def test_streams(image_dir: Path) -> None:
    """The target need not be seekable: the same bytes go through a pipe."""
    tar, _ = tar_of(image_dir)
    reading, writing = os.pipe()
    with subprocess.Popen(["sha256sum"], stdin=reading, stdout=subprocess.PIPE) as process:
        os.close(reading)
        with os.fdopen(writing, "wb") as target:
            unpack(open_image(image_dir), image_dir / "blobs", target)
        assert process.stdout is not None
        assert process.stdout.read().split()[0].decode() == hashlib.sha256(tar).hexdigest()


def test_spoilt_chunk(image_dir: Path, tmp_path: Path) -> None:
    """A chunk that is not what its digest says ends the tar with an error of ours."""
    copy = Path(shutil.copytree(image_dir, tmp_path / "image"))
    (blob,) = (copy / "blobs").iterdir()
    data = bytearray(blob.read_bytes())
    data[len(data) // 3] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"digest|CRC32C|corrupt|data of"):
        unpack(open_image(copy), copy / "blobs", io.BytesIO())
