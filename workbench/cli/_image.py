"""Verbs that read an image, and explain a read: cat, cp, explain."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from storage.errors import PathError
from storage.fs import Rafs
from storage.image import open_image
from storage.image.v5 import Amplifier
from storage.plan import Segments, explain, plan_layout, plan_options
from storage.progress import progress_bar
from workbench.cli._arguments import image_argument, json_option
from workbench.cli._figures import plain_table
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option, temporary_store
from workbench.cli._types import SIZE

__all__: list[str] = []


@group.command(
    "cat",
    **example(
        "workbench cat image /json/__init__.py | head", "workbench cat bootstrap /etc/hosts --config registry.toml"
    ),
)
@image_argument
@click.argument("path")
@blobs_option
def cat(image: Path, path: str, blobs: Blobs) -> None:
    """Write a file of an image to standard output."""
    with temporary_store(image, blobs) as rafs:
        _copy(rafs, rafs.lookup(path), sys.stdout.buffer)


@group.command("cp", **example("workbench cp image /json/__init__.py json.py", "workbench cp image /lib-dynload ."))
@image_argument
@click.argument("path")
@click.argument("target", type=click.Path(path_type=Path))
@blobs_option
def cp(image: Path, path: str, target: Path, blobs: Blobs) -> None:
    """Copy a file, or a folder with all that is below, out of an image."""
    with temporary_store(image, blobs) as rafs:
        row = rafs.lookup(path)
        place = target / Path(path.rstrip("/")).name if target.is_dir() else target
        try:
            with progress_bar(True, None, "copy") as move:
                _copy_tree(rafs, row, place, move)
        except OSError as error:
            raise PathError(f"cannot be written: {error.strerror}", path=error.filename or place) from error


def _copy_tree(rafs: Rafs, row: int, place: Path, move: Callable[[int], object]) -> None:
    mode = int(rafs.image.inodes.mode[row])
    if stat.S_ISDIR(mode):
        if place.is_symlink():
            raise PathError("is a link, which is not written through", path=place)
        place.mkdir(exist_ok=True)
        for name, child in rafs.image.children(row):
            _copy_tree(rafs, child, place / name.decode("utf-8", "surrogateescape"), move)
    elif stat.S_ISLNK(mode):
        place.symlink_to(rafs.image.readlink(row).decode("utf-8", "surrogateescape"))
    elif stat.S_ISREG(mode):
        if place.is_symlink():
            raise PathError("is a link, which is not written through", path=place)
        with place.open("wb") as file:
            _copy(rafs, row, file)
        move(int(rafs.image.inodes.size[row]))
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
@image_argument
@click.argument("path")
@click.option("--offset", type=SIZE, default=0, show_default=True, help="Where the read begins.")
@click.option("--length", type=SIZE, help="How long it is; by default all of the file.")
@click.option("--plan", type=click.Choice(["exact", "reference"]), default="exact", show_default=True)
@click.option("--amplify", type=SIZE, default="1MiB", show_default=True, help="Window that is fetched along.")
@json_option
@blobs_option
def explain_command(
    image: Path, path: str, offset: int, length: int | None, plan: str, amplify: int, as_json: bool, blobs: Blobs
) -> None:
    """Say what a read would fetch on an empty cache, and why, without reading anything."""
    opened = open_image(image, blobs)
    row = opened.lookup(path)
    asked = int(opened.inodes.size[row]) if length is None else length
    segments = Segments(*opened.segments(row, offset, asked))
    if opened.version == 5:
        segments = Segments(*Amplifier(opened, amplify).widened(row, offset, asked, segments))
    steps = explain(plan_layout(opened.chunks), plan_options(plan, amplify, opened.version), segments)
    if as_json:
        for step in steps:
            print(json.dumps(step._asdict()))
        return
    size, count = sum(segments.length), sum(offset >= 0 for offset in segments.offset)
    console = Console(highlight=False)
    first = f" {segments.chunk[0]}" if count == 1 else ""
    console.print(f"{size:,} bytes from {offset:,} of {path}: {count} of its chunks{first}")
    table = plain_table()
    for title, justify in (("", "left"), ("from", "right"), ("bytes", "right"), ("given", "right"), ("why", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for step in steps:
        table.add_row(step.action, f"{step.offset:,}", f"{step.length:,}", f"{step.user_bytes:,}", step.why)
    console.print(table)
