"""Verbs about a cache folder."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from rich.console import Console

from storage.cache import ChunkIndex, collect_garbage, read_chunk_map
from storage.cache.folder import check_owner
from storage.errors import CacheError
from storage.image import Image, locate, open_bootstrap, open_image
from workbench.cli._arguments import json_option
from workbench.cli._figures import plain_table
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option

__all__ = ["cached"]


@group.group("cache")
def cache() -> None:
    """Look into a cache folder."""


@cache.command(
    "ls", **example("workbench cache ls cache --image image", "workbench cache ls cache --image image --files --json")
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--image", required=True, type=click.Path(path_type=Path), help="The image whose cache it is.")
@click.option("--files", is_flag=True, help="A row a file rather than a row a blob.")
@json_option
@blobs_option
def ls(folder: Path, image: Path, blobs: Blobs, files: bool, as_json: bool) -> None:
    """Say what a cache folder holds of an image, nydusd's own folders too."""
    opened = open_image(image, blobs)
    ready = cached(folder, opened)
    frame = _by_file(opened, ready) if files else _by_blob(opened, ready)
    if as_json:
        for row in frame.to_dict("records"):
            print(json.dumps(row))
        return
    table = plain_table()
    for name in frame:
        table.add_column(str(name), justify="right" if is_numeric_dtype(frame[name]) else "left")
    for values in frame.itertuples(index=False):
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in values))
    Console(highlight=False).print(table)


@cache.command(
    "gc",
    **example(
        "workbench cache gc cache --image debian --image nginx --dry-run",
        "workbench cache gc cache --image debian --image nginx --index chunks.db --json",
    ),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--image", "images", required=True, multiple=True, type=click.Path(path_type=Path), help="One to keep.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--index", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The dedup_db, to be rid of the gone."
)
def gc(folder: Path, images: tuple[Path, ...], dry_run: bool, as_json: bool, index: Path | None) -> None:
    """Remove from a cache folder that nobody has open what none of the images needs.

    An --index of chunks forgets the cache files, of any folder, that are there no longer.
    """
    unused = collect_garbage(folder, [open_bootstrap(locate(image)).infos for image in images], dry_run)
    gone = _forgotten(index, {str(path.resolve()) for path, _ in unused}, dry_run) if index is not None else []
    if as_json:
        for path, size in unused:
            print(json.dumps({"file": path.name, "bytes": size}))
        for name in gone:
            print(json.dumps({"forgotten": name}))
        return
    for name in gone:
        print(f"{'index':>15}  {name}")
    for path, size in unused:
        print(f"{size:>15,}  {path.name}")
    print(f"{sum(size for _, size in unused):>15,}  bytes {'would be' if dry_run else 'were'} freed")


def _forgotten(index: Path, removed: set[str], dry_run: bool) -> list[str]:
    """Cache files that the index forgets, or would if those were removed."""
    chunks = ChunkIndex(index)
    try:
        return chunks.stale(removed) if dry_run else chunks.collect()
    finally:
        chunks.close()


def cached(folder: Path, image: Image) -> np.ndarray:
    """Which chunks of an image are in a folder: (chunks,) bool, by row of the chunk table.

    Raises
    ------
    CacheError
        If it is no folder, or another image's.
    """
    if not folder.is_dir():
        raise CacheError("there is no such cache folder", path=folder)
    check_owner(folder, image.infos)
    ready = np.zeros(len(image.chunks), np.bool_)
    for info, first in zip(image.infos, image.blobs.first_chunk, strict=True):
        path = folder / f"{info.blob_id}.blob.data.chunk_map"
        if path.exists():
            ready[first : first + info.chunk_count] = read_chunk_map(path, info.chunk_count)
    return ready


def _by_blob(image: Image, ready: np.ndarray) -> pd.DataFrame:
    chunks = image.chunks
    frame = pd.DataFrame({"blob": chunks.blob, "ready": ready, "all": 1, "size": chunks.uncompressed_size})
    frame["held"] = np.where(ready, frame["size"], 0)
    sums = frame.groupby("blob")[["ready", "all", "held", "size"]].sum()
    return pd.DataFrame(
        {
            "blob": [info.blob_id[:16] for info in image.infos if info.chunk_count],
            "chunks": sums["ready"].astype(int).tolist(),
            "of": sums["all"].tolist(),
            "bytes": sums["held"].tolist(),
            "of bytes": sums["size"].tolist(),
            "%": (100 * sums["held"] / sums["size"]).round(1).tolist(),
        }
    )


def _by_file(image: Image, ready: np.ndarray) -> pd.DataFrame:
    held = np.where(ready[image.extents.chunk], image.extents.length, 0)
    by_inode = np.bincount(image.extents.inode, held, len(image.inodes)).astype(np.int64)
    paths, rows = image.paths()
    frame = pd.DataFrame(
        {
            "path": [path.decode("utf-8", "backslashreplace") for path in paths],
            "bytes": by_inode[rows],
            "of bytes": image.inodes.size[rows],
        }
    )
    return frame[frame["bytes"] > 0].reset_index(drop=True)
