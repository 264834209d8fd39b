"""Verbs that choose chunks: chunkdict, compact, diff, optimize."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from storage.errors import ConfigError
from storage.image import open_image
from storage.image.verbs import Rebuilt, chunkdict, compact, diff, optimize, parse_prefetch_files
from workbench.cli._arguments import image_argument, json_option
from workbench.cli._main import example, group
from workbench.cli._options import Blobs, blobs_option, stored_blobs

__all__: list[str] = []

_out = click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder for the new image.")


@group.command(
    "compact",
    **example("workbench compact image -o smaller", "workbench compact image -o smaller --min-used 0.5 --json"),
)
@image_argument
@_out
@click.option(
    "--min-used",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Blobs of which this share is used stay as they are.",
)
@json_option
@blobs_option
def compact_command(image: Path, out: Path, min_used: float, as_json: bool, blobs: Blobs) -> None:
    """Write an image anew without chunks that no file uses."""
    _tell(compact(image, out, stored_blobs(image, blobs), min_used=min_used, progress=True), as_json)


@group.command(
    "optimize",
    **example(
        "workbench optimize image prefetch.json -o faster",
        """echo '{"version": "v1", "files": [{"path": "/bin/sh"}]}' | workbench optimize image - -o faster""",
    ),
)
@image_argument
@click.argument("files", type=click.Path(path_type=Path, allow_dash=True))
@_out
@json_option
@blobs_option
def optimize_command(image: Path, files: Path, out: Path, as_json: bool, blobs: Blobs) -> None:
    """Write an image anew with what FILES names in a blob of its own, to be fetched first.

    FILES is JSON as nydus-image takes it, or - for standard input.
    """
    try:
        text = sys.stdin.read() if str(files) == "-" else files.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=files) from error
    _tell(optimize(image, out, parse_prefetch_files(text), stored_blobs(image, blobs), progress=True), as_json)


def _tell(made: Rebuilt, as_json: bool) -> None:
    if as_json:
        print(json.dumps(vars(made), default=str))
        return
    moved = f"{made.moved:,} chunks moved to a blob of {made.moved_bytes:,} bytes" if made.blob else "nothing to move"
    print(f"{made.bootstrap}: {moved}; blobs are {made.bytes_after:,} bytes, and were {made.bytes_before:,}")


@group.command(
    "diff", **example("workbench diff old new", "workbench diff old new --json | jq 'select(.new_bytes > 1e6)'")
)
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
def diff_command(old: Path, new: Path, as_json: bool) -> None:
    """Say what differs between two images, and what of it a client of the old one would fetch."""
    found = diff(open_image(old), open_image(new))
    if as_json:
        for row in found.files.to_dict("records"):
            print(json.dumps(row))
        return
    columns = (found.files[name] for name in ("change", "before", "after", "new_bytes", "path"))
    for change, before, after, fresh, path in zip(*columns, strict=True):
        print(f"{change:<10} {before:>12,} {after:>12,} {fresh:>12,}  {path}")
    print(
        f"{len(found.files):,} paths differ; {found.own_chunks:,} chunks ({found.own_bytes:,} bytes) are new, "
        f"{found.shared_chunks:,} ({found.shared_bytes:,} bytes) are shared"
    )


@group.group("chunkdict")
def chunkdict_group() -> None:
    """Chunks that images have in common."""


@chunkdict_group.command(
    "generate",
    **example(
        "workbench chunkdict generate image1 image2 image3 -o dict.boot",
        "workbench build rootfs -o image4 --chunk-dict dict.boot",
    ),
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The bootstrap to write.")
@click.option("--min-images", type=click.IntRange(1), default=2, show_default=True, help="How many must have a chunk.")
@json_option
def chunkdict_command(images: tuple[Path, ...], out: Path, min_images: int, as_json: bool) -> None:
    """Write a bootstrap of the chunks that several images have, to build others against."""
    made = chunkdict(images, out, min_images=min_images)
    if as_json:
        print(json.dumps(vars(made), default=str))
        return
    print(f"{made.bootstrap}: {made.chunks:,} chunks of {made.bytes:,} bytes in {len(made.blobs)} blobs")
