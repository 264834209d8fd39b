"""Verbs that tell what is in an image: ls, stat."""

from __future__ import annotations

import hashlib
import json
import stat
import time
from pathlib import Path
from typing import Any

import click

from storage.image import Image, open_image
from storage.image.verbs import Statistics, statistics
from storage.progress import progress_bar
from workbench.cli._arguments import image_argument, json_option
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option, temporary_store

__all__ = ["entry"]

_TYPES = {
    stat.S_IFREG: "reg",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "sock",
}


@group.command(
    "ls",
    **example("workbench ls image /json", "workbench ls -R --json --sha256 image | jq .path", "workbench ls -R image"),
)
@image_argument
@click.argument("path", default="/")
@click.option("-R", "--recursive", is_flag=True, help="All that is below, too.")
@click.option("--sha256", is_flag=True, help="With --json: read and digest each regular file.")
@json_option
@blobs_option
def ls(image: Path, path: str, recursive: bool, sha256: bool, as_json: bool, blobs: Blobs) -> None:
    """List a folder of an image, or with -R all of it."""
    opened = open_image(image, blobs)
    listed = _listed(opened, path, recursive)
    if not as_json:
        for name, row in listed:
            print(_line(opened, name, row))
        return
    if not sha256:
        for name, row in listed:
            print(json.dumps(entry(opened, name, row)))
        return
    with temporary_store(image, blobs) as rafs, progress_bar(True, len(listed), "sha256", "file") as move:
        for name, row in listed:
            found = entry(opened, name, row)
            if found["type"] == "reg":
                found["sha256"] = hashlib.sha256(rafs.read(row)).hexdigest()
            print(json.dumps(found))
            move(1)


def _listed(image: Image, path: str, recursive: bool) -> list[tuple[bytes, int]]:
    top = image.lookup(path)
    inside = b"/" + path.strip("/").encode("utf-8", "surrogateescape")
    if not stat.S_ISDIR(int(image.inodes.mode[top])):
        return [(inside, top)]
    if recursive:
        below = inside if inside.endswith(b"/") else inside + b"/"
        paths, rows = image.paths()
        found = [(name, int(row)) for name, row in zip(paths, rows, strict=True)]
        return [(name, row) for name, row in found if name == inside or name.startswith(below)]
    return [(inside.rstrip(b"/") + b"/" + name, row) for name, row in image.children(top)]


def entry(image: Image, path: bytes, row: int) -> dict[str, Any]:
    """A file as one JSON object."""
    info = image.stat(row)
    kind = _TYPES.get(stat.S_IFMT(info.st_mode), "unknown")
    found: dict[str, Any] = {
        "path": path.decode("utf-8", "backslashreplace"),
        "path_hex": path.hex(),
        "type": kind,
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "size": info.st_size,
        "nlink": info.st_nlink,
        "ino": info.st_ino,
        "mtime": info.st_mtime_ns // 10**9,
        "mtime_ns": info.st_mtime_ns,
        "rdev": info.st_rdev,
        "blocks": -(-info.st_size // 512),
        "xattrs": {name: value.hex() for name, value in image.xattrs(row).items()},
    }
    if kind == "symlink":
        found["target"] = image.readlink(row).decode("utf-8", "backslashreplace")
    return found


def _line(image: Image, path: bytes, row: int) -> str:
    info = image.stat(row)
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(info.st_mtime_ns // 10**9))
    name = path.decode("utf-8", "backslashreplace")
    if stat.S_ISLNK(info.st_mode):
        name += " -> " + image.readlink(row).decode("utf-8", "backslashreplace")
    mode = stat.filemode(info.st_mode)
    return f"{mode} {info.st_nlink:>3} {info.st_uid:>5} {info.st_gid:>5} {info.st_size:>11,} {when} {name}"


@group.command(
    "stat",
    **example(
        "workbench stat image",
        "workbench stat image /json/__init__.py",
        "workbench stat --json image | jq .statistics",
        "workbench stat --base older-image image",
    ),
)
@image_argument
@click.argument("path", required=False)
@click.option("--base", type=click.Path(path_type=Path), help="An image whose chunks are there already.")
@json_option
@blobs_option
def stat_command(image: Path, path: str | None, base: Path | None, as_json: bool, blobs: Blobs) -> None:
    """Say what an image is made of, or what a file of it is."""
    opened = open_image(image, blobs)
    if path is not None:
        row = opened.lookup(path)
        facts = entry(opened, path.encode("utf-8", "surrogateescape"), row)
        facts["chunks"] = int(opened.inodes.extents[row])
    else:
        counted = statistics(opened, open_image(base) if base else None)
        facts = _facts(opened) | ({"statistics": counted.to_dict()} if as_json else _shared(counted) if base else {})
    if as_json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {value:,}" if isinstance(value, int) and key != "mode" else f"{key:<{width}}  {value}")


def _shared(counted: Statistics) -> dict[str, Any]:
    """What the base has of an image's chunks."""
    return {
        "chunks of its own": counted.own_chunks,
        "compressed bytes of its own": counted.own_comp_size,
        "chunks of the base": counted.ref_chunks,
        "compressed bytes of the base": counted.ref_comp_size,
    }


def _facts(image: Image) -> dict[str, Any]:
    kinds = image.inodes.mode & 0o170000
    plain, stored = int(image.chunks.uncompressed_size.sum()), int(image.chunks.compressed_size.sum())
    return {
        "bootstrap": image.bootstrap_digest,
        "files": int((kinds == stat.S_IFREG).sum()),
        "directories": int((kinds == stat.S_IFDIR).sum()),
        "links": int((kinds == stat.S_IFLNK).sum()),
        "bytes in files": int(image.extents.length.sum()),
        "chunks": len(image.chunks),
        "chunk size": image.chunk_size,
        "bytes in chunks": plain,
        "compressed": stored,
        "ratio": round(plain / stored, 2) if stored else 1.0,
        **{f"blob {info.blob_index}": f"{info.blob_id} ({info.compressor}, {info.digester})" for info in image.infos},
    }
