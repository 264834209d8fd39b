"""Verbs about one image: build, ls, stat, cat, cp, explain."""

from __future__ import annotations

import hashlib
import json
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm

from storage.errors import PathError
from storage.factory import open_store
from storage.fs import Rafs
from storage.image import Image, open_image
from storage.image.build import build, directory_tree
from storage.plan import Segments, explain, plan_layout, plan_options
from workbench.cli._main import example, group
from workbench.cli._types import SIZE

__all__: list[str] = []

_TYPES = {
    stat.S_IFREG: "reg",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "sock",
}
_image = click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
_blobs = click.option("--blobs", type=click.Path(path_type=Path), help="Folder of blobs; by default the image's.")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@group.command(
    "build", **example("workbench build ./rootfs -o image", "workbench build . -o image --compressor lz4_block")
)
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for bootstrap and blobs.")
@click.option("--compressor", default="zstd", show_default=True, help="none, lz4_block, gzip or zstd.")
@click.option("--digester", default="blake3", show_default=True, help="blake3 or sha256.")
@click.option("--chunk-size", type=SIZE, default="1MiB", show_default=True, help="A power of two from 4KiB to 16MiB.")
@click.option("--leave-out", multiple=True, metavar="NAME", help="A name in SRC itself not to take; may be repeated.")
@_json
def build_command(
    source: Path, out: Path, compressor: str, digester: str, chunk_size: int, leave_out: tuple[str, ...], as_json: bool
) -> None:
    """Build a RAFS v6 image of a directory, as nydus-image would."""
    start = time.monotonic()
    tree = directory_tree(source, leave_out)
    made = build(tree, out, compressor=compressor, digester=digester, chunk_size=chunk_size, progress=True)
    if as_json:
        print(json.dumps({key: str(value) if isinstance(value, Path) else value for key, value in vars(made).items()}))
        return
    seconds = time.monotonic() - start
    print(
        f"{made.bootstrap}: {made.files:,} files in {made.chunks:,} chunks and {made.duplicates:,} duplicates, "
        f"{made.plain_bytes / 1e6:,.1f} MB as {made.blob_bytes / 1e6:,.1f} MB, in {seconds:.1f} s"
    )


@group.command(
    "ls",
    **example("workbench ls image /json", "workbench ls -R --json --sha256 image | jq .path", "workbench ls -R image"),
)
@_image
@click.argument("path", default="/")
@click.option("-R", "--recursive", is_flag=True, help="All that is below, too.")
@click.option("--sha256", is_flag=True, help="With --json: read and digest each regular file.")
@_json
@_blobs
def ls(image: Path, path: str, recursive: bool, sha256: bool, as_json: bool, blobs: Path | None) -> None:
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
    with _store(image, blobs) as rafs:
        for name, row in tqdm(listed, desc="sha256", unit="file", delay=2, leave=False):
            found = entry(opened, name, row)
            if found["type"] == "reg":
                found["sha256"] = hashlib.sha256(rafs.read(row)).hexdigest()
            print(json.dumps(found))


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
    "stat", **example("workbench stat image", "workbench stat image /json/__init__.py", "workbench stat --json image")
)
@_image
@click.argument("path", required=False)
@_json
@_blobs
def stat_command(image: Path, path: str | None, as_json: bool, blobs: Path | None) -> None:
    """Say what an image is made of, or what a file of it is."""
    opened = open_image(image, blobs)
    if path is not None:
        row = opened.lookup(path)
        facts = entry(opened, path.encode("utf-8", "surrogateescape"), row)
        facts["chunks"] = int(opened.inodes.extents[row])
    else:
        facts = _facts(opened)
    if as_json:
        print(json.dumps(facts))
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {value:,}" if isinstance(value, int) and key != "mode" else f"{key:<{width}}  {value}")


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


@contextmanager
def _store(image: Path, blobs: Path | None) -> Iterator[Rafs]:
    """A store on a cache that goes again."""
    with (
        tempfile.TemporaryDirectory(prefix="workbench-") as folder,
        open_store(image, blobs, cache_dir=folder) as rafs,
    ):
        yield rafs


@group.command("cat", **example("workbench cat image /json/__init__.py | head"))
@_image
@click.argument("path")
@_blobs
def cat(image: Path, path: str, blobs: Path | None) -> None:
    """Write a file of an image to standard output."""
    with _store(image, blobs) as rafs:
        _copy(rafs, rafs.lookup(path), sys.stdout.buffer)


@group.command("cp", **example("workbench cp image /json/__init__.py json.py", "workbench cp image /lib-dynload ."))
@_image
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path))
@_blobs
def cp(image: Path, path: str, target: Path, blobs: Path | None) -> None:
    """Copy a file, or a folder with all that is below, out of an image."""
    with _store(image, blobs) as rafs:
        row = rafs.lookup(path)
        place = target / Path(path.rstrip("/")).name if target.is_dir() else target
        try:
            with tqdm(desc="copy", unit="B", unit_scale=True, delay=2, leave=False) as bar:
                _copy_tree(rafs, row, place, bar)
        except OSError as error:
            raise PathError(f"cannot be written: {error.strerror}", path=error.filename or place) from error


def _copy_tree(rafs: Rafs, row: int, place: Path, bar: tqdm[Any]) -> None:
    mode = int(rafs.image.inodes.mode[row])
    if stat.S_ISDIR(mode):
        place.mkdir(exist_ok=True)
        for name, child in rafs.image.children(row):
            _copy_tree(rafs, child, place / name.decode("utf-8", "surrogateescape"), bar)
    elif stat.S_ISLNK(mode):
        place.symlink_to(rafs.image.readlink(row).decode("utf-8", "surrogateescape"))
    elif stat.S_ISREG(mode):
        if place.is_symlink():
            raise PathError("is a link, which is not written through", path=place)
        with place.open("wb") as file:
            _copy(rafs, row, file)
        bar.update(int(rafs.image.inodes.size[row]))
        place.chmod(stat.S_IMODE(mode))


def _copy(rafs: Rafs, row: int, file: Any) -> None:
    size = int(rafs.image.inodes.size[row]) if stat.S_ISREG(int(rafs.image.inodes.mode[row])) else 0
    if size == 0 and not stat.S_ISREG(int(rafs.image.inodes.mode[row])):
        raise PathError("is not a regular file", path=rafs.image.path_of(row))
    for offset in range(0, size, 4 << 20):
        file.write(rafs.read(row, offset, 4 << 20))


@group.command(
    "explain",
    **example(
        "workbench explain image /json/__init__.py --offset 0 --length 4096",
        "workbench explain image /asyncio/events.py --plan reference --amplify 0",
    ),
)
@_image
@click.argument("path")
@click.option("--offset", type=SIZE, default=0, show_default=True, help="Where the read begins.")
@click.option("--length", type=SIZE, help="How long it is; by default all of the file.")
@click.option("--plan", type=click.Choice(["exact", "reference"]), default="exact", show_default=True)
@click.option("--amplify", type=SIZE, default="1MiB", show_default=True, help="Window that is fetched along.")
@_json
@_blobs
def explain_command(
    image: Path, path: str, offset: int, length: int | None, plan: str, amplify: int, as_json: bool, blobs: Path | None
) -> None:
    """Say what a read would fetch on an empty cache, and why, without reading anything."""
    opened = open_image(image, blobs)
    row = opened.lookup(path)
    asked = int(opened.inodes.size[row]) if length is None else length
    segments = Segments(*opened.segments(row, offset, asked))
    steps = explain(plan_layout(opened.chunks), plan_options(plan, amplify), segments)
    if as_json:
        for step in steps:
            print(json.dumps(step._asdict()))
        return
    size = sum(segments.length)
    console = Console(highlight=False)
    first = f" {segments.chunk[0]}" if len(segments.chunk) == 1 else ""
    console.print(f"{size:,} bytes from {offset:,} of {path}: {len(segments.chunk)} of its chunks{first}")
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title, justify in (("", "left"), ("from", "right"), ("bytes", "right"), ("given", "right"), ("why", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for step in steps:
        table.add_row(step.action, f"{step.offset:,}", f"{step.length:,}", f"{step.user_bytes:,}", step.why)
    console.print(table)


