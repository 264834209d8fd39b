"""Random stacks of layers: hypothesis strategies for tars with whiteouts, and what is left of them in plain Python.

Source: OCI image-spec ``layer.md``; POSIX.1-2017 ``pax``; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st

__all__ = ["File", "Layer", "Member", "layer_stacks", "layer_tar", "layers", "member_place", "overlaid"]

Path = tuple[bytes, ...]

_TYPES = {
    "dir": tarfile.DIRTYPE,
    "reg": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}
_MODES = {
    "dir": stat.S_IFDIR,
    "reg": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "fifo": stat.S_IFIFO,
}
_FORMS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
_SHORT = 100  # bytes of a path that any tar can hold


class Member(NamedTuple):
    """One member of a layer.

    Attributes
    ----------
    kind
        ``dir``, ``reg``, ``symlink``, ``hardlink``, ``char``, ``fifo``; ``whiteout`` of a path of the
        layers below, or ``opaque`` for a directory that hides what they have in it.
    path
        In components; of a whiteout that which it hides.
    target
        Of symbolic links; of hard links `path` of a regular file before it, joined by slashes.
    device
        Major and minor number.
    xattrs
        Of PAX tars only.
    """

    kind: str
    path: Path
    content: bytes
    target: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    device: tuple[int, int]
    xattrs: dict[str, bytes]


class Layer(NamedTuple):
    """Members that one tar may have, in order, and its format: ``pax``, ``gnu`` or ``ustar``."""

    form: str
    members: list[Member]


@dataclass(eq=False)
class File:
    """What shows at a path; two names of one file are the same object."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: bytes = b""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)


def layers(max_size: int = 12) -> st.SearchStrategy[Layer]:
    """Layers of a few members, whose names are few, so that layers meet."""
    lists = st.lists(_members(), max_size=max_size)
    return st.builds(lambda form, wanted: Layer(form, _sane(form, wanted)), st.sampled_from(sorted(_FORMS)), lists)


def layer_stacks(max_layers: int = 4) -> st.SearchStrategy[list[Layer]]:
    """Stacks of layers, the lowest first."""
    return st.lists(layers(), min_size=1, max_size=max_layers)


def _members() -> st.SearchStrategy[Member]:
    words = [b"a", b"b", b"c", "größe".encode(), b"with space", b"\xff\xfe", b"n" * 120, b"m" * 240]
    names = st.one_of(st.sampled_from(words[:3]), st.sampled_from(words))
    content = st.builds(lambda byte, size: byte * size, st.sampled_from([b"x", b"yz"]), st.sampled_from([0, 9, 2**16]))
    kinds = ["dir", "dir", "reg", "reg", "reg", "symlink", "hardlink", "char", "fifo", "whiteout", "whiteout", "opaque"]
    return st.builds(
        Member,
        kind=st.sampled_from(kinds),
        path=st.lists(names, min_size=1, max_size=3).map(tuple),
        content=content,
        target=st.sampled_from([b"a", b"../b", b"/etc/passwd", b"t" * 150, b"\xff"]),
        mode=st.integers(0, 0o7777),
        uid=st.sampled_from([0, 1000, 65534, 2_000_000]),
        gid=st.sampled_from([0, 100, 2_000_000]),
        mtime=st.integers(0, 1 << 32),
        device=st.sampled_from([(0, 0), (1, 3), (259, 70_000)]),
        xattrs=st.dictionaries(
            st.sampled_from(["user.a", "user.größe", "trusted.overlay.origin"]), st.binary(max_size=40), max_size=2
        ),
    )


def _sane(form: str, wanted: Sequence[Member]) -> list[Member]:
    """Those of the members that one tar may have: each path once, below directories, links to what came before."""
    kept, kinds, files = list[Member](), dict[Path, str](), list[Path]()
    for member in wanted:
        place = member_place(member)
        parents = [place[:depth] for depth in range(1, len(place))]
        if any(kinds.get(parent, "dir") != "dir" for parent in parents):
            continue
        if place in kinds and not (member.kind == kinds[place] == "dir"):
            continue
        if member.kind == "hardlink":
            if not files:
                continue
            member = member._replace(target=b"/".join(files[member.mode % len(files)]))
        if form == "ustar" and max(len(b"/".join(place)) + 1, len(member.target)) > _SHORT:
            continue
        kinds |= dict.fromkeys(parents, "dir") | {place: member.kind}
        files += [place] if member.kind == "reg" else []
        kept.append(member if form == "pax" else member._replace(xattrs={}))
    return kept


def member_place(member: Member) -> Path:
    """Where a member is in its tar: whiteouts are files beside what they hide."""
    if member.kind == "whiteout":
        return (*member.path[:-1], b".wh." + member.path[-1])
    return (*member.path, b".wh..wh..opq") if member.kind == "opaque" else member.path


def layer_tar(layer: Layer) -> bytes:
    """The layer as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=_FORMS[layer.form], errors="surrogateescape") as tar:
        for member in layer.members:
            info = tarfile.TarInfo(_text(b"/".join(member_place(member))))
            info.type = _TYPES.get(member.kind, tarfile.REGTYPE)
            info.mode, info.uid, info.gid, info.mtime = member.mode, member.uid, member.gid, member.mtime
            info.linkname = _text(member.target) if member.kind in ("symlink", "hardlink") else ""
            info.devmajor, info.devminor = member.device if member.kind == "char" else (0, 0)
            info.size = len(member.content) if member.kind == "reg" else 0
            info.pax_headers = {f"SCHILY.xattr.{name}": _text(value) for name, value in member.xattrs.items()}
            tar.addfile(info, io.BytesIO(member.content))
    return out.getvalue()


def _text(raw: bytes) -> str:
    return os.fsdecode(raw)


def overlaid(stack: Iterable[Layer]) -> dict[Path, File]:
    """What shows of a stack, by path; the root's is empty.

    Directories that no member tells are of mode 755, of root and of time 0.
    """
    shown: dict[Path, File] = {}
    for layer in stack:
        upper, gone, opaque = _told(layer)
        for path in opaque:
            _drop(shown, path, itself=False)
        for path in gone:
            _drop(shown, path)
        for path in sorted(upper):
            if path in shown and not (shown[path].is_dir and upper[path].is_dir):
                _drop(shown, path)
            shown[path] = upper[path]
    return shown


def _told(layer: Layer) -> tuple[dict[Path, File], set[Path], set[Path]]:
    """What a layer has, what it hides, and which of its directories hide what they had."""
    upper: dict[Path, File] = {(): File(stat.S_IFDIR | 0o755)}
    hiding: dict[str, set[Path]] = {"whiteout": set(), "opaque": set()}
    for member in layer.members:
        place = member_place(member)
        for depth in range(1, len(place)):
            upper.setdefault(place[:depth], File(stat.S_IFDIR | 0o755))
        if member.kind in hiding:
            hiding[member.kind].add(member.path)
        elif member.kind == "hardlink":
            upper[place] = upper[tuple(member.target.split(b"/"))]
        else:
            upper[place] = _file(member)
    return upper, hiding["whiteout"], hiding["opaque"]


def _file(member: Member) -> File:
    return File(
        mode=_MODES[member.kind] | member.mode,
        uid=member.uid,
        gid=member.gid,
        mtime=member.mtime,
        content=member.content if member.kind == "reg" else b"",
        target=member.target if member.kind == "symlink" else b"",
        device=member.device if member.kind == "char" else (0, 0),
        xattrs=member.xattrs,
    )


def _drop(shown: dict[Path, File], path: Path, itself: bool = True) -> None:
    for below in [key for key in shown if key[: len(path)] == path and (itself or key != path)]:
        del shown[below]
