"""Images built from tars: what a tar may hold, and what is refused."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import FormatError, StorageError
from storage.factory import open_store
from storage.image import open_image
from storage.image.build import TarTree, build, open_tar

FILE, FOLDER = tarfile.REGTYPE, tarfile.DIRTYPE


def member(name: str, kind: bytes = FILE, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """One member."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), 7
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def make_tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these members, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def build_tar(content: bytes, folder: Path) -> Path:
    """Build the image of a tar; returns its folder."""
    (folder / "in.tar").write_bytes(content)
    with open_tar(folder / "in.tar") as stream:
        build(TarTree(stream), folder / "image")
    return folder / "image"


EVERYTHING = (
    member("d", FOLDER, mode=0o1777, uid=5, gid=70000),
    member("d/" + "n" * 200, data=b"x" * 5000, mode=0o4755),
    member("d/x", data=b"with", pax_headers={"SCHILY.xattr.user.key": "value"}),
    member("d/again", tarfile.LNKTYPE, linkname="d/x"),
    member("l", tarfile.SYMTYPE, linkname="t" * 300),
    member("c", tarfile.CHRTYPE, devmajor=1, devminor=300),
    member("p", tarfile.FIFOTYPE),
    member("made/for/it", data=b"parents"),
    member(".wh.gone"),
)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_everything(tmp_path: Path, form: int, pack: object) -> None:
    """Long names and targets, xattrs, hard links, devices, whiteouts and missing parents come through."""
    image = build_tar(pack(make_tar(*EVERYTHING, form=form)), tmp_path)  # type: ignore[operator]
    opened = open_image(image)
    told = {path: opened.stat(row) for path, row in zip(*opened.paths(), strict=True)}
    assert told[b"/d"][0] == stat.S_IFDIR | 0o1777 and told[b"/d"][3:5] == (5, 70000)
    assert told[b"/d/" + b"n" * 200].st_mode == stat.S_IFREG | 0o4755
    assert told[b"/d/x"].st_nlink == 2 and told[b"/d/x"].st_ino == told[b"/d/again"].st_ino
    assert told[b"/c"].st_rdev == 300 & 0xFF | 1 << 8 | (300 & ~0xFF) << 12
    assert stat.S_ISFIFO(told[b"/p"].st_mode) and told[b"/.wh.gone"].st_size == 0
    assert told[b"/made"].st_mode == stat.S_IFDIR | 0o755 and told[b"/d/x"].st_mtime_ns == 7 * 10**9
    assert opened.readlink(opened.lookup("/l")) == b"t" * 300
    if form == tarfile.PAX_FORMAT:
        assert opened.xattrs(opened.lookup("/d/again")) == {"user.key": b"value"}
    with open_store(image, cache_dir=tmp_path / "cache") as rafs:
        assert rafs.read("/d/" + "n" * 200) == b"x" * 5000
        assert rafs.read("/made/for/it") == b"parents"


HOSTILE = {
    "climbs out": [member("a/../../b")],
    "is absolute": [member("/etc/passwd")],
    "through a symbolic link": [member("l", tarfile.SYMTYPE, linkname="/etc"), member("l/passwd")],
    "through a file": [member("f"), member("f/g")],
    "comes twice": [member("f", data=b"1"), member("f", data=b"2")],
    "to no file before it": [
        member("a", tarfile.LNKTYPE, linkname="b"),
        member("b", tarfile.LNKTYPE, linkname="a"),
    ],
    "leads to no file": [member("d", FOLDER), member("h", tarfile.LNKTYPE, linkname="d")],
    "is no path": [member("n" * 256)],
    "has 4201 bytes": [member("x/" * 2100 + "y")],
    "sparse": [member("s", pax_headers={"GNU.sparse.major": "1"})],
    "no place in RAFS": [member("x", pax_headers={"SCHILY.xattr.foreign.key": "v"})],
    "is no folder": [member(".", data=b"x")],
    "a folder with content": [member("d/", data=b"x")],
    "of type": [member("m", b"M")],
}


@pytest.mark.parametrize("complaint", HOSTILE)
def test_refused_by_name(tmp_path: Path, complaint: str) -> None:
    """What climbs out, contradicts itself, or has no place in an image, is refused by name."""
    with pytest.raises(FormatError, match=complaint):
        build_tar(make_tar(*HOSTILE[complaint]), tmp_path)
    assert not list((tmp_path / "image" / "blobs").iterdir())


def test_deep_nesting(tmp_path: Path) -> None:
    """A path as deep as paths may be is no deeper than the stack."""
    deep = "d/" * 2000 + "f"
    assert open_image(build_tar(make_tar(member(deep, data=b"1")), tmp_path)).stat(0).st_nlink == 3


def test_cut_short(tmp_path: Path) -> None:
    """A tar that ends within a member, plain or compressed, is refused."""
    whole = make_tar(member("f", data=bytes(range(256)) * 40))
    for content in (whole[:5000], gzip.compress(whole)[:-9], zstandard.compress(whole)[:-20]):
        with pytest.raises(FormatError):
            build_tar(content, tmp_path)


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What expands beyond measure is refused before it fills the disk."""
    monkeypatch.setattr("storage.image.build._open_tar._MAX_FREE", 1 << 20)
    with pytest.raises(FormatError, match="bomb"):
        build_tar(gzip.compress(make_tar(member("zeros", data=bytes(8 << 20)))), tmp_path)


def test_endless_extension(tmp_path: Path) -> None:
    """An extended header of gigabytes is refused before it is read."""
    content = bytearray(make_tar(member("f", pax_headers={"comment": "x"})))
    content[124:136] = b"77777777777\0"
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    with pytest.raises(FormatError, match="extended header"):
        build_tar(bytes(content), tmp_path)


def test_not_a_tar(tmp_path: Path) -> None:
    """Neither noise nor a device is a tar."""
    with pytest.raises(FormatError, match="not a tar"):
        build_tar(bytes(range(256)) * 4, tmp_path)
    with pytest.raises(FormatError, match="cannot be read"), open_tar(tmp_path / "none"):
        pass


@settings(max_examples=300, deadline=2000)
@given(st.data())
def test_mutated(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any bytes changed anywhere give the members or our error, soon."""
    form = data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    content = bytearray(make_tar(*EVERYTHING, form=form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):  # let the change past the checksum
        at = data.draw(st.integers(0, len(content) // 512 - 1)) * 512
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    path = tmp_path_factory.getbasetemp() / "mutated.tar"
    path.write_bytes(content)
    try:
        with open_tar(path) as stream:
            for node, _ in TarTree(stream).files():
                assert node.size
    except StorageError as error:
        assert error.message
